"""Faster R-CNN on a feature pyramid and RetinaNet: levels, anchors, losses, schedules."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes import by_epochs
from rectangles import rectangles, small
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from downstream.detection.average_precision import ap50
from downstream.detection.boxes import Targets, boxes_of, collect
from downstream.detection.faster_rcnn import FasterRcnn
from downstream.detection.faster_rcnn_fpn import FasterRcnnFpn
from downstream.detection.matching import detection_rows
from downstream.detection.retinanet import RetinaNetDetector, RetinaNetFinetune, StridedAnchors
from downstream.features.extraction import load_images
from downstream.protocol import Protocol, Runtime
from pretext import inputs
from pretext.backbones.resnet import ResNet50
from pretext.data.dataset import Split
from pretext.encoder import Encoder

CPU = torch.device("cpu")
FPN, RETINANET = FasterRcnnFpn(), RetinaNetFinetune()


def brief(protocol: FasterRcnnFpn | RetinaNetFinetune) -> Protocol:
    recipe = replace(protocol.recipe, iterations=2, milestones=(1,), batch_size=2, warmup_iterations=1)
    return replace(protocol, recipe=recipe, width=32, min_sizes=(80,), max_size=96)


@pytest.fixture(scope="module")
def images() -> Split:
    return rectangles(6, 3)


def test_defaults_are_the_published_schedules() -> None:
    for recipe, steps, rates in (
        (FPN.recipe, (500, 59_999, 60_000, 79_999), (0.02, 0.02, 0.002, 0.002)),
        (RETINANET.recipe, (500, 60_000, 79_999, 80_000), (0.01, 1e-3, 1e-3, 1e-4)),
    ):
        found = [recipe.lr * recipe.factor(step, recipe.iterations) for step in steps]
        assert found == pytest.approx(rates)
        assert (recipe.batch_size, recipe.weight_decay) == (16, 1e-4)


@pytest.mark.slow
def test_fpn_is_faster_rcnn_by_another_schedule(images: Split) -> None:
    """The same budget gives the same detector."""
    recipe = by_epochs(epochs=1, batch_size=2, lr=1e-3)
    sizes = {"width": 32, "max_size": 96}
    plain = FasterRcnn(recipe, min_size=80, **sizes).fit(small(), images, images, Runtime())
    fpn = FasterRcnnFpn(recipe, min_sizes=(80,), **sizes).fit(small(), images, images, Runtime())
    a, b = plain.detect(images), fpn.detect(images)
    assert len(a.scores) > 0
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_retinanets_levels_anchors_and_towers() -> None:
    encoder = Encoder(inputs.build("rgb"), ResNet50(3))
    detector = RetinaNetDetector(encoder, 20, 256, (800,), 1333).eval()
    net = detector.retinanet
    with torch.no_grad():
        levels = net.backbone(torch.rand(1, 3, 128, 96))
    assert [tuple(level.shape) for level in levels.values()] == [
        (1, 256, *size) for size in ((16, 12), (8, 6), (4, 3), (2, 2), (1, 1))
    ]
    assert net.anchor_generator.strides == (8, 16, 32, 64, 128)
    assert net.anchor_generator.sizes[0] == (32, 40, 50)
    assert net.anchor_generator.num_anchors_per_location() == [9] * 5
    assert net.head.classification_head.cls_logits.weight.shape == (9 * 20, 256, 3, 3)
    # Every anchor starts with a probability of .01.
    assert torch.sigmoid(net.head.classification_head.cls_logits.bias).allclose(torch.tensor(0.01))
    assert net.backbone.neck.fpn.extra_blocks.p6.weight.shape == (256, 2048, 3, 3)


def test_the_sixth_level_is_made_from_the_last_stage_whatever_its_width() -> None:
    encoder = small()  # its last stage has 16 channels
    detector = RetinaNetDetector(encoder, 3, 16, (64,), 64).eval()
    neck = detector.retinanet.backbone.neck
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = encoder(image).maps
        wanted = neck.fpn.extra_blocks.p6(neck.norms["conv5"](maps["conv5"]))
        torch.testing.assert_close(neck(maps)["p6"], wanted)


def test_anchors_lie_at_the_declared_stride_where_levels_round_up() -> None:
    anchors = StridedAnchors([8, 16])
    levels = [torch.zeros(2, 1, 5, 5), torch.zeros(2, 1, 3, 3)]  # of 40 pixels: ⌈40 / 16⌉ = 3
    images = ImageList(torch.zeros(2, 3, 40, 40), [(40, 40)] * 2)
    found = anchors(images, levels)
    assert len(found) == 2
    centres = ((found[0][:, :2] + found[0][:, 2:]) / 2)[25 * 9 :].view(9, 9, 2)[:, 0]
    assert centres.tolist() == [[x, y] for y in (0, 16, 32) for x in (0, 16, 32)]
    # Where sizes divide, torchvision's own anchors are the same.
    levels[1] = torch.zeros(2, 1, 2, 2)
    images = ImageList(torch.zeros(2, 3, 32, 32), [(32, 32)] * 2)
    levels[0] = torch.zeros(2, 1, 4, 4)
    theirs = AnchorGenerator(anchors.sizes, anchors.aspect_ratios)(images, levels)
    torch.testing.assert_close(anchors(images, levels)[0], theirs[0])


@pytest.mark.slow
def test_retinanet_learns_and_an_image_without_boxes_is_no_fault(images: Split) -> None:
    assert 0 in np.diff(boxes_of(images).offsets)
    torch.manual_seed(0)
    detector = RetinaNetDetector(small(), 3, 32, (64,), 64).train()
    pixels = load_images(images, slice(None), CPU)
    targets = Targets(boxes_of(images), CPU).of(range(len(images)))
    optimiser = torch.optim.Adam(detector.parameters(), 3e-3)
    losses: list[float] = []
    for _ in range(160):
        optimiser.zero_grad()
        loss = detector.loss(pixels, targets)
        loss.backward()
        if not losses:
            assert all(p.grad is not None for p in detector.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    with torch.no_grad():
        found = collect(detector.eval().detect(pixels, [{}] * len(pixels)))
    assert ap50(detection_rows(found, boxes_of(images), 3)) > 0.7
    detector.train()
    empty = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}] * len(images)
    assert torch.isfinite(detector.loss(pixels, empty))


@pytest.mark.parametrize("protocol", [brief(FPN), brief(RETINANET)], ids=lambda protocol: protocol.name)
def test_a_copy_is_trained_and_detections_fit_the_image(protocol: Protocol, images: Split) -> None:
    encoder = small()
    before = copy.deepcopy(encoder.state_dict())
    fitted = protocol.fit(encoder, images, images, Runtime())
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in before.items())
    rows = fitted.predict(images)["conv5"]
    assert len(rows["image"]) == len(images)
    assert set(protocol.metrics(images)) >= {"coco_ap", "ap50", "ap75", "voc_ap_11point", "voc_ap_area"}
    boxes = copy.deepcopy(boxes_of(images))
    boxes.xyxy[0] = (9, 9, 90, 12)
    with pytest.raises(ValueError, match=r"a box of image \d lies outside its image of 64 × 64"):
        protocol.fit(encoder, images, replace(images, boxes=boxes), Runtime())


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"retinanet: 1 ≤ min_sizes ≤ max_size must hold, got \(\) and 1333"):
        RetinaNetFinetune(min_sizes=())
    with pytest.raises(ValueError, match=r"faster_rcnn_fpn: 1 ≤ min_sizes ≤ max_size"):
        FasterRcnnFpn(max_size=100)
