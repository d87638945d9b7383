"""Faster R-CNN in the C4 layout: its parts, what is frozen, several trials, by the published schedules."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from rectangles import rectangles, small
from torch import nn
from torchvision.ops import roi_align

from downstream.detection.average_precision import METRICS
from downstream.detection.baselines import ConstantBox
from downstream.detection.boxes import Targets, boxes_of
from downstream.detection.end_to_end import TunedDetector
from downstream.detection.goyal19_c4 import Goyal19C4
from downstream.detection.moco_c4 import MocoC4
from downstream.detection.rcnn import RcnnDetector, c4_parts
from downstream.detection.repeated import MeanOverTrials, join, separate
from downstream.detection.scoring import FittedDetectors, average_precisions
from downstream.features.extraction import load_images
from downstream.judge.catalogue import facts
from downstream.protocol import Protocol, Runtime, take
from pretext import inputs
from pretext.backbones import MapBackbone, Stage
from pretext.backbones.resnet import ResNet50
from pretext.data.dataset import Split
from pretext.encoder import Encoder

CPU = torch.device("cpu")
SIZES = {"min_sizes": (80,), "max_size": 96}
GOYAL = Goyal19C4(
    replace(Goyal19C4().recipe, iterations=3, milestones=(2,), batch_size=2, warmup_iterations=1), **SIZES
)
MOCO = MocoC4(
    replace(MocoC4().recipe, iterations=3, milestones=(2,), batch_size=2, warmup_iterations=1),
    trials=2,
    **SIZES,
)


@pytest.fixture(scope="module")
def images() -> Split:
    return rectangles(6, 3)


def test_defaults_are_the_published_schedules() -> None:
    goyal, moco = Goyal19C4().recipe, MocoC4().recipe
    rates = [goyal.lr * goyal.factor(step, 50_000) for step in (0, 499, 500, 37_999, 38_000, 49_999)]
    assert rates == pytest.approx([2e-3 / 3, 2e-3, 2e-3, 2e-3, 2e-4, 2e-4], rel=2e-3)
    rates = [moco.lr * moco.factor(step, 24_000) for step in (0, 100, 17_999, 18_000, 21_999, 22_000)]
    assert rates == pytest.approx([2e-5, 0.02, 0.02, 2e-3, 2e-3, 2e-4])
    assert (goyal.iterations, moco.iterations, MocoC4().trials) == (50_000, 24_000, 5)
    assert facts(Goyal19C4()).frozen == "all stages but the last, BN statistics"
    assert (facts(MocoC4()).frozen, facts(MocoC4()).cost) == ("nothing", "5 × 24000 steps")


def test_regions_go_through_the_last_stage_and_its_norm() -> None:
    """What the predictor sees, computed by hand from the encoder's own stages."""
    encoder = small()
    detector = RcnnDetector(encoder, c4_parts(encoder, 3, extra_norm=True), (64,), 64).eval()
    head = detector.rcnn.roi_heads
    with torch.no_grad():
        head.box_head.norm.running_mean.uniform_(0, 0.1)
        head.box_head.norm.weight.uniform_(0.5, 2)
    image = load_images(rectangles(1, 0), slice(None), CPU)
    boxes = torch.tensor([[4.0, 8.0, 40.0, 60.0], [0.0, 0.0, 32.0, 16.0]])
    with torch.no_grad():
        maps = detector.rcnn.backbone(image)
        found = head.box_head(head.box_roi_pool(maps, [boxes], [(64, 64)]))
        regions = roi_align(encoder(image).maps["conv4"], [boxes], 14, 1 / 8, 2)
        last = encoder(regions, start="conv5").maps["conv5"]
        wanted = nn.functional.batch_norm(
            last, head.box_head.norm.running_mean, head.box_head.norm.running_var, head.box_head.norm.weight
        ).mean((2, 3))
    assert list(maps) == ["conv4"]
    torch.testing.assert_close(found, wanted)
    plain = c4_parts(encoder, 3)["box_head"]
    with torch.no_grad():
        torch.testing.assert_close(plain(regions), last.mean((2, 3)))


def test_resnet50_has_the_published_shapes() -> None:
    encoder = Encoder(inputs.build("rgb"), ResNet50(3))
    detector = RcnnDetector(encoder, c4_parts(encoder, 20, extra_norm=True), (480, 800), 1333)
    rcnn = detector.rcnn
    assert rcnn.backbone.stage == Stage("layer3", 1024, 16)
    assert rcnn.rpn.anchor_generator.num_anchors_per_location() == [15]
    assert rcnn.roi_heads.box_roi_pool.output_size == (14, 14)
    assert rcnn.roi_heads.box_head.norm.num_features == 2048
    assert rcnn.roi_heads.box_predictor.cls_score.weight.shape == (21, 2048)
    with torch.no_grad():
        assert rcnn.roi_heads.box_head.eval()(torch.rand(2, 1024, 14, 14)).shape == (2, 2048)
    # 600 pixels by 1000 at most; several sizes while training, the last of them in testing.
    detector.train()
    short = {min(rcnn.transform([torch.rand(3, 30, 40)])[0].image_sizes[0]) for _ in range(20)}
    assert short == {480, 800}
    detector.eval()
    assert rcnn.transform([torch.rand(3, 30, 40)])[0].image_sizes == [(800, 1066)]
    assert rcnn.transform([torch.rand(3, 10, 40)])[0].image_sizes == [(333, 1333)]


def test_goyal_trains_the_last_stage_and_nothing_before(images: Split) -> None:
    encoder = small()
    before = copy.deepcopy(encoder.state_dict())
    fitted = GOYAL.fit(encoder, images, images, Runtime())
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in before.items())
    moved = changed(before, fitted)
    assert moved == {"backbone.blocks.conv5.conv.weight", "backbone.blocks.conv5.norm.weight",
                     "backbone.blocks.conv5.norm.bias"}  # fmt: skip


def test_moco_trains_everything_with_batch_statistics(images: Split) -> None:
    encoder = small()
    before = copy.deepcopy(encoder.state_dict())
    fitted = MOCO.fit(encoder, images, images, Runtime(seed=1))
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in before.items())
    for fit in fitted.fits:
        assert changed(before, fit) == set(before)


def changed(before: dict[str, torch.Tensor], fitted: FittedDetectors) -> set[str]:
    state = model_of(fitted).encoder.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, state[name])}


def model_of(fitted: FittedDetectors) -> RcnnDetector:
    head = fitted.head
    assert isinstance(head, TunedDetector)
    assert isinstance(head.model, RcnnDetector)
    return head.model


@pytest.mark.slow
def test_trials_differ_and_are_averaged(images: Split) -> None:
    fitted = MOCO.fit(small(), images, images, Runtime(seed=1))
    alone = replace(MOCO, trials=1)
    singles = [alone.fit(small(), images, images, Runtime(seed=seed)) for seed in (2, 3)]
    rows = fitted.predict(images)["conv5"]
    parts = separate(rows)
    assert len(parts) == 2
    for part, single in zip(parts, singles, strict=True):
        wanted = single.fits[0].predict(images)["conv5"]
        assert all(np.array_equal(part[name], wanted[name]) for name in wanted)
    assert not np.array_equal(parts[0]["scores"], parts[1]["scores"])
    single = average_precisions(images)
    assert set(single) == {*METRICS, "ap_below_32px"}  # 64 pixels hold no large ones
    for name, metric in MOCO.metrics(images).items():
        assert metric(rows) == pytest.approx(np.mean([single[name](part) for part in parts]))
    assert fitted.trials[0].val == pytest.approx(np.mean([s.trials[0].val for s in singles]))
    assert fitted.train_score == pytest.approx(np.mean([s.train_score for s in singles]))
    assert len(fitted.trials) == 1
    assert fitted.at_edge == ()


def test_resampled_trials_are_means_of_resampled_scores(images: Split) -> None:
    blind = ConstantBox(counts=(1,)).fit(images, images, Runtime())(images)
    other = dict(blind) | {"scores": blind["scores"][::-1].copy()}
    rows = join([blind, other])
    metric = MeanOverTrials(METRICS["coco_ap"])
    index = np.random.default_rng(0).integers(0, len(images), len(images))
    counts = np.bincount(index, minlength=len(images))
    wanted = np.mean([METRICS["coco_ap"](take(part, index)) for part in (blind, other)])
    assert metric.counted(rows)(counts) == pytest.approx(wanted)
    assert metric(take(rows, index)) == pytest.approx(wanted)
    # What has no trials, as encoder-blind rows, is scored as it is.
    assert metric(blind) == METRICS["coco_ap"](blind)
    assert metric.counted(blind)(counts) == pytest.approx(METRICS["coco_ap"](take(blind, index)))


def test_c4_learns_on_an_encoder_of_any_stages() -> None:
    """Two stages whose map shows colours: the loss falls, an image without boxes among them."""
    stages = [Stage("colour", 3, 8), Stage("same", 3, 8)]
    blocks = [nn.AvgPool2d(8), nn.Conv2d(3, 3, 1)]
    encoder = Encoder(inputs.build("rgb"), MapBackbone(3, stages, blocks, {}))
    detector = RcnnDetector(encoder, c4_parts(encoder, 3), (64,), 64).train()
    split = rectangles(4, 3)
    assert 0 in np.diff(boxes_of(split).offsets)
    pixels, targets = load_images(split, slice(None), CPU), Targets(boxes_of(split), CPU).of(range(4))
    optimiser = torch.optim.Adam(detector.parameters(), 0.01)
    losses = []
    for _ in range(25):
        torch.manual_seed(0)
        optimiser.zero_grad()
        loss = detector.loss(pixels, targets)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("protocol", [GOYAL, MOCO], ids=lambda protocol: protocol.name)
def test_bad_input_is_named(protocol: Protocol, images: Split) -> None:
    one = Encoder(inputs.build("rgb"), MapBackbone(3, [Stage("only", 3, 8)], [nn.AvgPool2d(8)], {}))
    with pytest.raises(ValueError, match=r"C4 needs an encoder of two stages or more: .* 'only' alone"):
        protocol.fit(one, images, images, Runtime())
    boxes = copy.deepcopy(boxes_of(images))
    boxes.xyxy[0] = (9, 9, 9, 12)
    with pytest.raises(ValueError, match=r"split 'train': a box of image \d has no area"):
        protocol.fit(small(), replace(images, boxes=boxes), images, Runtime())


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"goyal19_c4: 1 ≤ min_sizes ≤ max_size .*\(600,\) and 500"):
        Goyal19C4(max_size=500)
    with pytest.raises(ValueError, match="moco_c4: trials=0 is out of range"):
        MocoC4(trials=0)
    with pytest.raises(ValueError, match="goyal19_c4: regions=0 is out of range"):
        Goyal19C4(regions=0)
    with pytest.raises(ValueError, match=r"frozen_stages=\('conv1',\), but all"):
        Goyal19C4(replace(Goyal19C4().recipe, frozen_stages=("conv1",)))
