"""VOC's mean average precision of classification: 11 points or area, difficult objects left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.metrics.interpolation import (
    Counts,
    Interpolation,
    area_interpolation,
    eleven_point_interpolation,
)
from downstream.metrics.scores import mean_over_classes
from downstream.protocol import BlindPredictor, Predictions, Runtime
from pretext.data.dataset import Split


def step_interpolation(found: Counts, seen: Counts, objects: int) -> float:
    """Area under the precision-recall steps without an envelope, as scikit-learn's average precision."""
    return float((np.diff(found, prepend=0) * (found / np.maximum(seen, 1))).sum() / objects)


class _Curve(NamedTuple):
    """One class in order of falling score: the example at each rank, 1 where it is a hit.

    end: of each hit, the last rank whose score is the same.
    """

    example: NDArray[np.intp]
    hit: NDArray[np.int64]
    end: NDArray[np.intp]

    @staticmethod
    def of(scores: NDArray[Any], positive: NDArray[np.bool_], counted: NDArray[np.bool_]) -> _Curve:
        example = np.flatnonzero(counted)
        example = example[np.argsort(-scores[example], kind="stable")]
        falling, hit = -scores[example], positive[example]
        end = np.searchsorted(falling, falling[hit], side="right") - 1
        return _Curve(example, hit.astype(np.int64), end)

    def average_precision(self, counts: Counts, interpolate: Interpolation) -> float:
        """With example i taken counts[i] times; NaN where that leaves no positive."""
        times = counts[self.example]
        found, seen = np.cumsum(times * self.hit), np.cumsum(times)
        objects = int(found[-1]) if len(found) else 0
        return interpolate(found[self.end], seen[self.end], objects) if objects else float("nan")


def average_precisions(
    scores: NDArray[Any],
    positive: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    interpolate: Interpolation = step_interpolation,
) -> NDArray[np.float64]:
    """Average precision of each column; equal scores form one threshold.

    Args:
        scores: (N, P) real. positive, counted: (N, P); examples that are not counted are left out.

    Returns:
        (P,), NaN for a column without a positive that counts.
    """
    once = np.ones(len(scores), np.int64)
    columns = range(scores.shape[1])
    curves = (_Curve.of(scores[:, c], positive[:, c], counted[:, c]) for c in columns)
    return np.array([curve.average_precision(once, interpolate) for curve in curves])


@dataclass(frozen=True)
class VocMeanAveragePrecision:
    """Mean over the classes that occur of the average precision of rows {"scores": (N, C), "labels"}.

    Labels are (N, C) of 0 and 1, or (N,) classes, each against the rest. Entries of "difficult" (N, C), where
    the rows have it, neither count as positive nor as negative.
    """

    interpolate: Interpolation

    def __call__(self, rows: Predictions) -> float:
        """Score rows, each counted once."""
        return self.counted(rows)(np.ones(len(rows["scores"]), np.int64))

    def counted(self, rows: Predictions) -> Callable[[Counts], float]:
        """The metric of any multiset of these rows, sorted once (see `downstream.metrics.bootstrap`)."""
        scores = rows["scores"]
        positive = one_hot(rows["labels"], scores.shape[1])
        counted = ~rows["difficult"] if "difficult" in rows else np.ones(scores.shape, np.bool_)
        curves = [_Curve.of(scores[:, c], positive[:, c], counted[:, c]) for c in range(scores.shape[1])]
        return lambda counts: mean_over_classes(
            np.array([curve.average_precision(counts, self.interpolate) for curve in curves])
        )


voc_ap_area = VocMeanAveragePrecision(area_interpolation)
"""Area under the envelope of the precision-recall curve: VOC from 2010, and the code of arXiv:1905.01235."""

voc_ap_11point = VocMeanAveragePrecision(eleven_point_interpolation)
"""Mean of the envelope at recall 0, .1, …, 1: VOC until 2009."""

step_ap = VocMeanAveragePrecision(step_interpolation)
"""As scikit-learn's `average_precision_score`."""


def one_hot(labels: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    """Labels of either kind as (N, C) bool."""
    if labels.ndim == 2:
        return np.asarray(labels > 0)
    return np.asarray(labels[:, None] == np.arange(classes))


def difficult_of(split: Split) -> NDArray[np.bool_] | None:
    """Classes (N, C) that an image shows by objects marked difficult alone; None where there are none.

    VOC asks no answer for them. Only where images have several classes and boxes name the same classes: every
    object that is not difficult is of a class its image is labelled with.
    """
    boxes, labels = split.boxes, split.labels
    if boxes is None or labels is None or labels.ndim != 2 or not boxes.difficult.any():
        return None
    if boxes.labels.max() >= labels.shape[1]:
        return None
    image = np.repeat(np.arange(len(labels)), np.diff(boxes.offsets))
    there = np.asarray(labels)[image, boxes.labels] > 0  # by box
    if not there[~boxes.difficult].all():
        return None
    found = np.zeros(labels.shape, np.bool_)
    only = boxes.difficult & ~there
    found[image[only], boxes.labels[only]] = True
    return found if found.any() else None


def with_difficult(rows: Predictions, split: Split) -> Predictions:
    """Rows with "difficult" where the split has such objects."""
    difficult = difficult_of(split)
    return rows if difficult is None else {**rows, "difficult": difficult}


@dataclass(frozen=True)
class DifficultLeftOut(BlindPredictor):
    """Another predictor, scored without difficult objects as everything beside it."""

    predictor: BlindPredictor

    @property
    def sees_color(self) -> bool:
        """As the predictor."""
        return self.predictor.sees_color

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Fit the predictor."""
        predict = self.predictor.fit(train, val, runtime)
        return lambda split: with_difficult(predict(split), split)
