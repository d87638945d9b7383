"""Detectors on scenes of coloured rectangles."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recipes import by_epochs
from rectangles import rectangles, small
from torch import Tensor

from downstream.detection.average_precision import METRICS, coco_ap
from downstream.detection.baselines import ConstantBox
from downstream.detection.boxes import (
    Targets,
    boxes_of,
)
from downstream.detection.draw import draw_detections
from downstream.detection.faster_rcnn import FasterRcnn
from downstream.detection.fcos import FcosHead
from downstream.detection.finetune import DetectionFinetune, FcosDetector
from downstream.detection.frozen import DetectionFrozen
from downstream.detection.maps import AtMost, SingleMap, at_stride, pyramid_stages
from downstream.detection.rcnn import RcnnDetector, pyramid_parts
from downstream.features.extraction import load_images
from downstream.protocol import Predictions, Protocol, Runtime
from pretext import inputs
from pretext.backbones import MapBackbone, Stage
from pretext.data.dataset import Split
from pretext.encoder import Encoder

QUICK = by_epochs(epochs=8, batch_size=16, lr=5e-3, optimiser="adamw")


class Painted(torch.nn.Module):
    """An 8 × 8 average of its input: colour and place are there to be read."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(x, 8)


class Blank(torch.nn.Module):
    """The same map for every image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(len(x), 3, x.shape[-2] // 8, x.shape[-1] // 8)


def planted(block: torch.nn.Module) -> Encoder:
    return Encoder(inputs.build("rgb"), MapBackbone(3, [Stage("only", 3, 8)], [block], {})).eval()


def same_rows(a: Predictions, b: Predictions) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def train() -> Split:
    return rectangles(160, 0)


@pytest.fixture(scope="module")
def val() -> Split:
    return rectangles(50, 1, "val")


@pytest.fixture(scope="module")
def test() -> Split:
    return rectangles(60, 2, "test")


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(cache=tmp_path)


def test_frozen_detector_reads_what_a_planted_encoder_shows(
    train: Split, val: Split, test: Split, tmp_path: Path
) -> None:
    # Encoders without weights have one digest: each needs a cache of its own.
    chance = ConstantBox().fit(train, val, Runtime())(test)
    seeing = DetectionFrozen(QUICK).fit(planted(Painted()), train, val, Runtime(cache=tmp_path / "painted"))
    blank = DetectionFrozen(QUICK).fit(planted(Blank()), train, val, Runtime(cache=tmp_path / "blank"))
    assert METRICS["ap50"](seeing.predict(test)["only"]) > 0.8
    assert seeing.train_score > 0.4
    # A constant map tells no more than the borders, which padding shows: at best boxes that never change.
    assert coco_ap(blank.predict(test)["only"]) < coco_ap(chance) + 0.02
    assert blank.train_score < coco_ap(chance) + 0.05


def test_frozen_scores_every_stage_and_leaves_the_encoder_to_the_bit(
    train: Split, val: Split, test: Split, runtime: Runtime
) -> None:
    encoder = small().train()
    before = copy.deepcopy(encoder.state_dict())
    protocol = DetectionFrozen(replace(QUICK, epochs=1), lrs=(1e-3, 5e-3), last_stages=2)
    fitted = protocol.fit(encoder, train, val, runtime)
    rows = fitted.predict(test)
    after = encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert encoder.training
    assert list(rows) == ["conv4", "conv5"]
    assert [(t.stage, t.setting["lr"]) for t in fitted.trials] == [
        (stage, lr) for stage in rows for lr in (1e-3, 5e-3)
    ]
    best = max(fitted.trials, key=lambda trial: trial.val)
    assert (fitted.stage, fitted.selected) == (best.stage, best.setting)
    assert fitted.at_edge == ("lr",)


@pytest.mark.parametrize(
    "protocol",
    [
        DetectionFrozen(replace(QUICK, epochs=1), last_stages=1),
        DetectionFinetune(replace(QUICK, epochs=1, norm="train")),
    ],
    ids=lambda p: p.name,
)
def test_the_seed_decides_and_nothing_else(
    protocol: Protocol, train: Split, val: Split, test: Split, tmp_path: Path
) -> None:
    def rows(seed: int) -> Predictions:
        torch.rand(seed + 3)  # the global random state must not matter
        runtime = Runtime(cache=tmp_path, seed=seed)
        return protocol.fit(small(), train, val, runtime).predict(test)["conv5"]

    first = rows(0)
    assert same_rows(first, rows(0))
    assert not same_rows(first, rows(1))


def test_fine_tuning_moves_a_copy_and_beats_chance(
    train: Split, val: Split, test: Split, runtime: Runtime
) -> None:
    encoder = small()
    before = copy.deepcopy(encoder.state_dict())
    fitted = DetectionFinetune(QUICK).fit(encoder, train, val, runtime)
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in before.items())
    rows = fitted.predict(test)
    assert list(rows) == ["conv5"]
    chance = ConstantBox().fit(train, val, runtime)(test)
    assert METRICS["ap50"](rows["conv5"]) > METRICS["ap50"](chance) + 0.3


def test_fine_tuning_without_a_learning_rate_equals_the_frozen_detector(
    train: Split, val: Split, test: Split, runtime: Runtime
) -> None:
    recipe = replace(QUICK, epochs=1, backbone_lr=0.0, norm="eval")
    frozen = DetectionFrozen(recipe, last_stages=1).fit(small(), train, val, runtime)
    tuned = DetectionFinetune(recipe, flip=False).fit(small(), train, val, runtime)
    assert tuned.trials[0].val == pytest.approx(frozen.trials[0].val, abs=1e-4)
    a, b = frozen.detect(test), tuned.detect(test)
    assert len(a.scores) == len(b.scores) > 0
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-3)


def test_pyramid_detects_on_several_strides(runtime: Runtime) -> None:
    assert [s.name for s in pyramid_stages(small().stages)] == ["conv3", "conv5"]
    with pytest.raises(
        ValueError, match="no stage has a stride of 16 or more; the strides are: 2, 4, 4, 8, 8"
    ):
        pyramid_stages(small().stages, finest=16)
    few = rectangles(32, 6)
    detector = FcosDetector(small(), classes=3, pyramid=True, width=32, convs=1)
    images, targets = (
        load_images(few, slice(0, 8), torch.device("cpu")),
        Targets(boxes_of(few), torch.device("cpu")),
    )
    detector.loss(images, targets.of(range(8))).backward()
    levels = detector.head.fcos.backbone(detector.encoder(images).maps)
    assert [tuple(level.shape[1:]) for level in levels.values()] == [(32, 16, 16), (32, 8, 8)]
    assert all(parameter.grad is not None for parameter in detector.parameters())
    fitted = DetectionFinetune(replace(QUICK, epochs=1), pyramid=True, width=32).fit(
        small(), few, few, runtime
    )
    assert list(fitted.predict(few)) == ["conv5"]


@pytest.mark.parametrize("pyramid", [True, False], ids=["fpn", "c4"])
def test_faster_rcnn_takes_steps_on_tiny_images(pyramid: bool, runtime: Runtime) -> None:
    images = rectangles(4, 3)
    assert 0 in np.diff(boxes_of(images).offsets)  # an image without boxes is among them
    recipe = by_epochs(epochs=1, batch_size=2, lr=1e-3)
    protocol = FasterRcnn(recipe, pyramid=pyramid, width=32, min_size=80, max_size=96)
    encoder = small()
    before = copy.deepcopy(encoder.state_dict())
    fitted = protocol.fit(encoder, images, images, runtime)
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in before.items())
    rows = fitted.predict(images)["conv5"]
    found = fitted.detect(images)
    assert len(rows["image"]) == 4
    assert ((found.labels >= 0) & (found.labels < 3)).all()
    assert found.xyxy.max(initial=0) <= 64  # in pixels of the image, not of its enlargement


def test_faster_rcnn_resizes_and_normalises_by_its_arguments_alone() -> None:
    encoder = small()
    detector = RcnnDetector(encoder, pyramid_parts(encoder, 3, 32), (96,), 128)
    assert (detector.rcnn.transform.min_size, detector.rcnn.transform.max_size) == ((96,), 128)
    image = torch.rand(3, 96, 96)
    batch, _ = detector.rcnn.transform([image])
    torch.testing.assert_close(batch.tensors[0], image)
    with pytest.raises(ValueError, match="1 ≤ min_size ≤ max_size must hold, got 800 and 600"):
        FasterRcnn(max_size=600)


def test_fcos_places_its_anchors_by_the_declared_stride() -> None:
    head = FcosHead(SingleMap(Stage("only", 3, 8), 32), [8], classes=2)
    anchors = head._anchors([torch.zeros(1, 32, 2, 3)])[0]
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres.tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]
    assert (anchors[:, 2:] - anchors[:, :2] == 8).all()
    with pytest.raises(ValueError, match="width must be a multiple of 32, got 40"):
        FcosHead(SingleMap(Stage("only", 3, 8), 40), [8], classes=2)


def test_fcos_loss_without_any_box_is_finite_and_teaches_silence() -> None:
    torch.manual_seed(0)
    head = FcosHead(SingleMap(Stage("only", 3, 8), 32), [8], classes=2)
    maps = {"only": torch.rand(2, 3, 8, 8)}
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    loss = head.loss(maps, [empty, empty])
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in head.parameters())


def test_maps_are_averaged_down_to_a_stride_and_never_up() -> None:
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    assert AtMost(2, 2)(fine, torch.zeros(1)).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert AtMost(8, 8)(fine, torch.zeros(1)) is fine
    assert at_stride(64, 60, 8) == AtMost(8, 8)


def test_fitted_detectors_show_their_pictures(
    train: Split, val: Split, test: Split, runtime: Runtime
) -> None:
    fitted = DetectionFrozen(replace(QUICK, epochs=1)).fit(planted(Painted()), val, val, runtime)
    few = rectangles(4, 9)
    picture = fitted.show(few, ("one", "two", "three"))
    np.testing.assert_array_equal(picture, draw_detections(few, fitted.detect(few), ("one", "two", "three")))
