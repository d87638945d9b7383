"""What looks at no image, and pictures of what was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from rectangles import rectangles
from sheet_cut import cut

from downstream.detection.average_precision import METRICS
from downstream.detection.baselines import ConstantBox, find_boxes
from downstream.detection.boxes import (
    boxes_of,
    collect,
)
from downstream.detection.draw import draw_detections
from downstream.protocol import Runtime
from pretext.data.dataset import Boxes, Split
from pretext.pictures import class_color


def test_constant_box_finds_the_box_that_never_moves() -> None:
    # Class 0 sits at one place in 3 of 4 images; class 1 at either of two places, evenly.
    fixed, left, right = (10, 10, 30, 30), (0, 40, 20, 60), (40, 40, 60, 60)
    boxes, labels, offsets = [], [], [0]
    for i in range(40):
        if i % 4:
            boxes.append(fixed)
            labels.append(0)
        boxes.append(left if i % 2 else right)
        labels.append(1)
        offsets.append(len(boxes))
    truth = Boxes(
        np.array(offsets), np.array(boxes, np.float32), np.array(labels), np.zeros(len(boxes), np.bool_)
    )
    prior = find_boxes(truth, 0, 3, 50)
    assert prior.xyxy.tolist() == [list(fixed)]
    assert prior.scores.tolist() == pytest.approx([0.75])
    both = find_boxes(truth, 1, 3, 50)
    assert sorted(both.xyxy.tolist()) == sorted([[*map(float, left)], [*map(float, right)]])
    assert both.scores.tolist() == pytest.approx([0.5, 0.5])
    split = Split("train", np.zeros((40, 64, 64, 3), np.uint8), "constant", boxes=truth)
    rows = ConstantBox().fit(split, split, Runtime())(split)
    # Recall 1 everywhere: precision 3/4 for class 0, about 1/2 for class 1.
    assert METRICS["voc_ap_area"](rows) > (0.75 + 0.5) / 2
    assert METRICS["voc_ap_area"](rows) < 0.8


def test_constant_box_counts_an_image_once_and_leaves_difficult_objects_out() -> None:
    crowd, alone = (0, 0, 10, 10), (30, 30, 50, 50)
    truth = Boxes(
        np.array([0, 3, 4, 5, 6]),
        np.array([crowd, crowd, crowd, alone, alone, crowd], np.float32),
        np.zeros(6, np.int64),
        np.array([False] * 5 + [True]),
    )
    assert find_boxes(truth, 0, 1, 50).xyxy.tolist() == [[*map(float, alone)]]
    assert find_boxes(truth, 0, 1, 50).scores.tolist() == [0.5]


def test_pictures_show_truth_above_and_detections_below() -> None:
    split = rectangles(3, 4)
    boxes = boxes_of(split)
    split = replace(split, boxes=Boxes(boxes.offsets, boxes.xyxy, boxes.labels, boxes.labels == 0))
    found = collect(
        [
            {
                "boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0], [0.0, 0.0, 64.0, 64.0]]),
                "labels": torch.tensor([2, 1]),
                "scores": torch.tensor([0.9, 0.1]),
            }
        ]
        * 3
    )
    drawn = draw_detections(split, found)
    assert drawn.dtype == np.uint8
    size = split.pixels.shape[1:3]
    right = cut(drawn, 0, 1, 2, size)
    assert tuple(right[8, 30]) == class_color(2)  # upper edge of the sure detection
    assert not (right == class_color(1)).all(-1).any()  # the other is too weak
    row = int(np.flatnonzero(boxes.labels != 0)[0])
    image = int(np.searchsorted(boxes.offsets, row, side="right")) - 1
    x1, _, x2, y2 = boxes.xyxy[row].round().astype(int)
    left = cut(drawn, image, 0, 2, size)
    assert (left[y2 - 2 : y2 + 1, (x1 + x2) // 2] == class_color(int(boxes.labels[row]))).all(-1).any()
    named = draw_detections(split, found, ("a", "b", "a name that is much longer than others"))
    assert not np.array_equal(cut(named, 0, 1, 2, size), right), "names are not written"
    weak = found._replace(scores=np.full_like(found.scores, 0.01))
    surest = cut(draw_detections(split, weak), 0, 1, 2, size)
    assert (surest == class_color(2)).all(-1).any() or (surest == class_color(1)).all(-1).any()
    with pytest.raises(ValueError, match="detections of 3 images cannot be drawn on 2 images"):
        draw_detections(rectangles(2, 4), found)
