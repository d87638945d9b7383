"""Encoder-blind detection: the same boxes on every image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.detection.boxes import check_against, check_boxes, fitted_classes
from downstream.detection.matching import IOU_THRESHOLDS, Detections, detection_rows, iou, owner
from downstream.detection.scoring import Detect, val_score
from downstream.protocol import BlindPredictor, Predictions, Runtime
from pretext.data.dataset import Boxes, Split
from pretext.data.split import limit


class Prior(NamedTuple):
    """Constant boxes (K, 4), their labels (K,) and scores (K,)."""

    xyxy: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class ConstantBox(BlindPredictor):
    """For each class the boxes that hit the most objects of train; the score is how often they do.

    A box's score is the share of train images that have an object of its class on it, averaged over COCO's
    IoU thresholds. With several boxes a class, each next one is the best on the images that the ones before
    it miss; how many is chosen on val.

    Args:
        counts: numbers of boxes a class to choose among.
        candidates: boxes of train a class to choose from, evenly spaced; their median comes on top.
        train_limit: fit on that many training images.
    """

    counts: tuple[int, ...] = (1, 2, 4, 8)
    candidates: int = 200
    train_limit: int = 5000

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Find boxes on train, their number on val.

        Raises:
            ValueError: boxes that are missing or bad (names split and image), or no box in train.
        """
        check_boxes(train, val)
        classes = fitted_classes(train)
        train = limit(train, self.train_limit)
        truth = check_against(train, classes)
        most = max(self.counts)
        ranked = [find_boxes(truth, label, most, self.candidates) for label in range(classes)]
        priors = {count: _join(ranked, count) for count in self.counts}
        scores = {count: val_score(_predictor(prior), val, classes) for count, prior in priors.items()}
        chosen = _predictor(priors[max(scores, key=scores.__getitem__)])

        def predict(split: Split) -> Predictions:
            return detection_rows(chosen(split), check_against(split, classes), classes)

        return predict


def find_boxes(truth: Boxes, label: int, count: int, candidates: int) -> Prior:
    """At most `count` boxes for one class, best first; fewer where no further box hits anything."""
    mine = (truth.labels == label) & ~truth.difficult
    objects = truth.xyxy[mine].astype(np.float64)
    if len(objects) == 0:
        return Prior(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    pick = np.unique(np.linspace(0, len(objects) - 1, min(candidates, len(objects))).astype(np.int64))
    tried = np.concatenate([np.median(objects, axis=0, keepdims=True), objects[pick]])  # (M, 4)
    image = owner(truth.offsets)[mine]
    first = np.flatnonzero(np.diff(image, prepend=-1))  # boxes lie image by image
    nearest = np.maximum.reduceat(iou(tried[None], objects[None])[0], first, axis=1)  # (M, images)
    open_at = np.ones((nearest.shape[1], len(IOU_THRESHOLDS)), np.bool_)  # what no chosen box hits yet
    hits = nearest[:, :, None] >= IOU_THRESHOLDS  # (M, images, T)
    chosen, scores = [], []
    for _ in range(count):
        gain = (hits & open_at).sum((1, 2))
        best = int(gain.argmax())
        if gain[best] == 0:
            break
        chosen.append(best)
        scores.append(gain[best] / len(IOU_THRESHOLDS) / (len(truth.offsets) - 1))
        open_at &= ~hits[best]
    return Prior(tried[chosen].astype(np.float32), np.full(len(chosen), label), np.array(scores, np.float32))


def blind_detectors() -> dict[str, BlindPredictor]:
    """The predictors that detection is read against."""
    return {"constant_box": ConstantBox()}


def _join(ranked: list[Prior], count: int) -> Prior:
    return Prior(
        *(np.concatenate([values[:count] for values in column]) for column in zip(*ranked, strict=True))
    )


def _predictor(prior: Prior) -> Detect:
    xyxy, labels, scores = prior

    def detect(split: Split) -> Detections:
        images = len(split)
        return Detections(
            np.arange(images + 1) * len(labels),
            np.tile(xyxy, (images, 1)),
            np.tile(labels, images),
            np.tile(scores, images),
        )

    return detect
