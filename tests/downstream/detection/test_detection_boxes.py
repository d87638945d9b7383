"""Boxes on their way into a detector: what is refused, mirrored, left out, scored."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from recipes import by_epochs
from rectangles import COLOURS, rectangles, small

from downstream.detection.boxes import (
    Targets,
    boxes_of,
    check_against,
    check_boxes,
    collect,
    fitted_classes,
    mirror_targets,
)
from downstream.detection.finetune import DetectionFinetune
from downstream.detection.frozen import DetectionFrozen
from downstream.detection.matching import Detections
from downstream.detection.scoring import TRAIN_SCORED, train_score
from downstream.protocol import Runtime
from pretext.data.dataset import Boxes, Split
from pretext.data.split import limit, make_split

QUICK = by_epochs(epochs=8, batch_size=16, lr=5e-3, optimiser="adamw")


def test_bad_boxes_are_named() -> None:
    train, runtime = rectangles(160, 0), Runtime()
    good = boxes_of(train)
    image = int(np.flatnonzero(np.diff(good.offsets))[3])
    row = int(good.offsets[image])

    def broken(**change: Any) -> Split:
        boxes = copy.deepcopy(good)
        for name, value in change.items():
            getattr(boxes, name)[row] = value
        return replace(train, boxes=boxes)

    cases = {
        f"'train': a box of image {image} has no area": {"xyxy": [9, 9, 9, 12]},
        f"a box of image {image} lies outside its image of 64 × 64": {"xyxy": [9, 9, 65, 12]},
        f"a box of image {image} is not finite": {"xyxy": [9, 9, np.nan, 12]},
        f"a box of image {image} has a negative label": {"labels": -1},
    }
    for message, change in cases.items():
        for protocol in (DetectionFrozen(QUICK), DetectionFinetune(QUICK)):
            with pytest.raises(ValueError, match=message):
                protocol.fit(small(), broken(**change), train, runtime)
    with pytest.raises(ValueError, match=f"image {image} has label 5; train has 3 classes"):
        DetectionFrozen(QUICK).fit(small(), train, broken(labels=5), runtime)
    with pytest.raises(ValueError, match="split 'train' has no boxes: detection needs some"):
        fitted_classes(replace(train, boxes=None))
    nothing = Boxes(
        np.zeros(161, np.int64), np.zeros((0, 4), np.float32), good.labels[:0], good.difficult[:0]
    )
    with pytest.raises(ValueError, match="has not one box"):
        fitted_classes(replace(train, boxes=nothing))
    with pytest.raises(ValueError, match="split 'val' has no object to find"):
        check_boxes(train, replace(train, name="val", boxes=nothing))
    with pytest.raises(ValueError, match="split 'train' has no object to find"):
        check_boxes(replace(train, boxes=replace(good, difficult=np.ones_like(good.difficult))))


def test_the_train_score_is_of_images_that_have_objects() -> None:
    """The part that it is taken on may have none where objects are rare."""
    count = 3 * TRAIN_SCORED
    pixels = np.zeros((count, 16, 16, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = np.arange(count) % 256, np.arange(count) // 256
    empty = make_split("train", pixels)
    part = limit(empty, TRAIN_SCORED).pixels[:].astype(np.int64)
    drawn = set((part[:, 0, 0, 0] + 256 * part[:, 0, 1, 0]).tolist())
    rare = next(i for i in range(count) if i not in drawn)
    box = np.array([[2, 2, 9, 9]], np.float32)
    offsets = (np.arange(count + 1) > rare).astype(np.int64)
    boxes = Boxes(offsets, box, np.zeros(1, np.int64), np.zeros(1, np.bool_))
    seen = []

    def detect(split: Split) -> Detections:
        seen.append(len(split))
        found = {"boxes": torch.tensor(box), "labels": torch.zeros(1), "scores": torch.ones(1)}
        return collect([found] * len(split))

    assert train_score(detect, replace(empty, boxes=boxes), 1) == 1
    assert seen == [1]


def test_mirrored_boxes_frame_mirrored_objects() -> None:
    split = rectangles(8, 5)
    targets = Targets(check_against(split, 3), torch.device("cpu")).of(range(8))
    flips = torch.tensor([True, False] * 4)
    mirrored = mirror_targets(targets, flips, 64)
    for i, (before, after) in enumerate(zip(targets, mirrored, strict=True)):
        image = split.pixels[i][:, ::-1] if flips[i] else split.pixels[i]
        assert torch.equal(before["labels"], after["labels"])
        for (x1, y1, x2, y2), label in zip(
            after["boxes"].int().tolist(), after["labels"].tolist(), strict=True
        ):
            assert x1 < x2
            assert (image[y1:y2, x1:x2] == COLOURS[label]).all()


@pytest.mark.parametrize(("crowds", "trained_on"), [(False, [[0, 1], [2], [3]]), (True, [[1], [], [3]])])
def test_training_leaves_out_crowds_but_not_difficult_objects(
    crowds: bool, trained_on: list[list[int]]
) -> None:
    corners = np.arange(4, dtype=np.float32)[:, None] + [0, 0, 10, 10]
    marked = np.array([True, False, True, False])
    boxes = Boxes(np.array([0, 2, 3, 4]), corners.astype(np.float32), np.arange(4), marked, crowds)
    found = Targets(boxes, torch.device("cpu")).of(range(3))
    assert [target["labels"].tolist() for target in found] == trained_on
    assert [target["boxes"][:, 0].tolist() for target in found] == trained_on


def test_collecting_nothing_keeps_shapes() -> None:
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "scores": torch.zeros(0),
    }
    found = collect([nothing, nothing])
    assert isinstance(found, Detections)
    assert (found.offsets.tolist(), found.xyxy.shape, found.labels.dtype) == ([0, 0, 0], (0, 4), np.int64)
