"""What a head says of a new image: classes, boxes and masks, in the pixels and words of that image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from downstream.classification.head import ClassScores
from downstream.detection.head import FoundObjects
from downstream.detection.matching import Detections
from downstream.segmentation.head import PixelClasses
from pretext.data.canvas import Canvas


def test_probabilities_are_softmax_of_one_class_and_logistic_of_several() -> None:
    scores = np.log(np.array([[1.0, 2.0, 5.0]], np.float32))
    one = ClassScores(scores, several=False, logits=True)
    assert one.probabilities is not None
    np.testing.assert_allclose(one.probabilities, [[0.125, 0.25, 0.625]], rtol=1e-6)
    assert one.told(0, ("a", "b", "c"))["classes"][0] == {
        "class": "c",
        "probability": pytest.approx(0.625),
    }
    assert one.line(0, ("a", "b")) == "class 2 62.5%, b 25.0%, a 12.5%"
    several = ClassScores(scores - 1, several=True, logits=True)
    assert several.probabilities is not None
    np.testing.assert_allclose(several.probabilities, scores_to_logistic([[1, 2, 5]]), rtol=1e-6)
    assert [entry["shown"] for entry in several.told(0, "abc")["classes"]] == [True, False, False]
    svm = ClassScores(scores, several=True, logits=False)
    assert svm.probabilities is None
    assert svm.told(0, "abc")["classes"][0] == {
        "class": "c",
        "score": pytest.approx(np.log(5)),
        "shown": True,
    }
    assert ClassScores(np.zeros((2, 9), np.float32), False, True).best().tolist() == [[0, 1, 2, 3, 4]] * 2


def scores_to_logistic(ratios: list[list[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    odds = np.array(ratios) / np.e
    return np.asarray(odds / (1 + odds))


def test_boxes_come_back_into_the_pixels_of_their_image() -> None:
    """400 × 200 on a canvas of 100 × 100: a quarter of the size, the lower half is padding."""
    boxes = np.array([[10, 20, 30, 40], [50, 30, 120, 90], [10, 60, 20, 80]], np.float32)
    found = FoundObjects(
        Detections(np.array([0, 3]), boxes, np.array([1, 0, 1]), np.array([0.4, 0.9, 0.8], np.float32))
    )
    off = found.off(Canvas(100, 100), 200, 400)
    np.testing.assert_allclose(off.detections.xyxy, [[40, 80, 120, 160], [200, 120, 400, 200]])
    assert off.detections.offsets.tolist() == [0, 2]
    assert off.told(0, ("cat", "dog")) == {
        "objects": [
            {"class": "cat", "score": pytest.approx(0.9), "box": [200, 120, 400, 200]},
            {"class": "dog", "score": pytest.approx(0.4), "box": [40, 80, 120, 160]},
        ]
    }
    assert off.line(0, ("cat", "dog")) == "cat 0.90, dog 0.40"
    picture = np.asarray(off.picture(0, np.zeros((200, 400, 3), np.uint8), ("cat", "dog")))
    assert picture.shape == (200, 400, 3)
    assert picture[80:83, 60:100].any()
    assert not picture[100:110, 150:190].any()


def test_masks_come_back_into_the_pixels_of_their_image_with_their_palette() -> None:
    """40 × 20 on a canvas of 10 × 10: what lies in the padding is no part of it."""
    mask = np.full((1, 10, 10), 2, np.uint8)
    mask[0, :5, :5], mask[0, :5, 5:] = 0, 1
    off = PixelClasses(mask).off(Canvas(10, 10), 20, 40)
    assert off.masks.shape == (1, 20, 40)
    assert (off.masks[0, :, :20] == 0).all()
    assert (off.masks[0, :, 20:] == 1).all()
    assert off.told(0, ("ground", "shirt")) == {"shares": {"ground": 0.5, "shirt": 0.5}}
    picture = off.picture(0, np.zeros((20, 40, 3), np.uint8), ())
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), off.masks[0])
    assert np.asarray(picture.convert("RGB"))[0, -1].tolist() == [128, 0, 0]
