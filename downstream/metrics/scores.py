"""Metrics as pure functions on arrays. All lie in [0, 1]; higher is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import IGNORE


class Undefined(ValueError):
    """A metric of examples that say nothing of it: no positive, no labelled pixel."""


def average_precision(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Area under the precision-recall steps of each class, as scikit-learn's `average_precision_score`.

    Equal scores form one threshold, so a constant score gets the share of positives.

    Args:
        scores: (N, C) real.
        labels: (N, C) 0 or 1.

    Returns:
        (C,), NaN for a class without positives.

    Raises:
        ValueError: other shapes, or a score that is not finite (names the example).
    """
    return Ranking.of(scores, labels).average_precision()


@dataclass(frozen=True)
class Ranking:
    """Labels in order of falling score, sorted once for any multiset of the examples. All arrays (N, C).

    order: example at each rank. hits: its label. end: the last rank whose score equals this one's.
    """

    order: NDArray[np.int64]
    hits: NDArray[np.float64]
    end: NDArray[np.int64]

    @staticmethod
    def of(scores: NDArray[Any], labels: NDArray[Any]) -> Ranking:
        """Rank scores (N, C) with their labels (N, C); errors as `average_precision`."""
        scores, labels = _scores(scores), np.asarray(labels)
        if labels.shape != scores.shape:
            raise ValueError(f"scores are {scores.shape}, labels {labels.shape}; both must be (N, C)")
        order = np.argsort(-scores, axis=0, kind="stable")
        falling = np.take_along_axis(scores, order, 0)
        last = np.ones(scores.shape, dtype=bool)
        last[:-1] = falling[1:] != falling[:-1]
        rank = np.where(last, np.arange(len(scores))[:, None], len(scores))
        end = np.minimum.accumulate(rank[::-1], axis=0)[::-1]
        return Ranking(order, np.take_along_axis(labels, order, 0).astype(np.float64), end)

    def average_precision(self, counts: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Average precision (C,) with example i taken counts[i] times, once without it."""
        times = np.ones(len(self.order)) if counts is None else np.asarray(counts, dtype=np.float64)
        times = times[self.order]  # (N, C)
        hits = self.hits * times
        found, seen = hits.cumsum(0), times.cumsum(0)
        with np.errstate(invalid="ignore"):  # 0 / 0 before the first that is taken
            precision = np.take_along_axis(found, self.end, 0) / np.take_along_axis(seen, self.end, 0)
            return np.asarray(np.where(hits > 0, hits * precision, 0.0).sum(0) / found[-1])


def mean_average_precision(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean of `average_precision` over the classes that have a positive.

    Raises:
        ValueError: as `average_precision`.
        Undefined: no class has a positive.
    """
    return mean_over_classes(average_precision(scores, labels))


def mean_over_classes(values: NDArray[np.float64]) -> float:
    """Mean of the values (C,) that are not NaN.

    Raises:
        Undefined: all are.
    """
    if np.isnan(values).all():
        raise Undefined("no class occurs: a mean over classes is undefined")
    return float(np.nanmean(values))


def top_k_hits(scores: NDArray[Any], labels: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Chance (N,) that the true class is among the k highest scores, equal scores being drawn by lot.

    Args:
        scores: (N, C) real.
        labels: (N,) integers below C.

    Raises:
        ValueError: other shapes, a label outside the classes, a score that is not finite.
    """
    scores, labels = _scores(scores), np.asarray(labels)
    n, classes = scores.shape
    if labels.shape != (n,):
        raise ValueError(f"scores are {scores.shape}, labels {labels.shape}; must be (N, C) and (N,)")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        example = int(np.argmax(wrong))
        raise ValueError(f"example {example} has label {labels[example]}; the scores have {classes} classes")
    own = scores[np.arange(n), labels][:, None]
    better = (scores > own).sum(1)
    equal = (scores == own).sum(1)  # itself among them
    return np.asarray(np.clip((k - better) / equal, 0.0, 1.0))


def top_k(scores: NDArray[Any], labels: NDArray[Any], k: int = 1) -> float:
    """Mean of `top_k_hits`."""
    return float(top_k_hits(scores, labels, k).mean())


def mean_per_class(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Top-1 within each class, averaged over the classes that occur."""
    hits, labels = top_k_hits(scores, labels, 1), np.asarray(labels)
    counts = np.bincount(labels)
    sums = np.bincount(labels, weights=hits)
    return float((sums[counts > 0] / counts[counts > 0]).mean())


def confusion(prediction: NDArray[Any], target: NDArray[Any], classes: int) -> NDArray[np.uint32]:
    """Count pixels by class for each image; pixels whose target is IGNORE are left out.

    Args:
        prediction: (N, H, W) integers below `classes`.
        target: (N, H, W) integers below `classes`, or IGNORE.

    Returns:
        (N, classes, classes), true class by row, predicted class by column.

    Raises:
        ValueError: shapes differ, or a class is out of range (names the image).
    """
    prediction, target = np.asarray(prediction), np.asarray(target)
    if prediction.shape != target.shape or target.ndim != 3:
        raise ValueError(f"prediction is {prediction.shape}, target {target.shape}; both must be (N, H, W)")
    counted = target != IGNORE
    for what, values in (("prediction", prediction), ("target", target)):
        wrong = counted & ((values < 0) | (values >= classes))
        if wrong.any():
            image, row, column = np.argwhere(wrong)[0]
            raise ValueError(
                f"{what} of image {image} has class {values[image, row, column]}; "
                f"there are {classes}, and {IGNORE} for unlabelled pixels"
            )
    n = len(target)
    image = np.broadcast_to(np.arange(n)[:, None, None], target.shape)
    cell = (image * classes + target.astype(np.int64)) * classes + prediction
    counts = np.bincount(cell[counted], minlength=n * classes * classes)
    return counts.reshape(n, classes, classes).astype(np.uint32)


def class_iou(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of each class, from confusion matrices (N, K, K) summed over images.

    Returns:
        (K,), NaN for a class that neither target nor prediction has.
    """
    total = matrices.sum(0, dtype=np.float64)  # (K, K)
    hits = np.diag(total)
    union = total.sum(0) + total.sum(1) - hits
    return np.asarray(np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0))


def miou(matrices: NDArray[Any]) -> float:
    """Mean of `class_iou` over the classes that occur in target or prediction.

    Raises:
        Undefined: not one labelled pixel.
    """
    return mean_over_classes(class_iou(matrices))


def pixel_accuracy(matrices: NDArray[Any]) -> float:
    """Share of labelled pixels that are right, from confusion matrices (N, K, K).

    Raises:
        Undefined: not one labelled pixel.
    """
    total = matrices.sum(0, dtype=np.float64)
    if total.sum() == 0:
        raise Undefined("not one pixel is labelled: pixel accuracy is undefined")
    return float(np.trace(total) / total.sum())


def _scores(scores: NDArray[Any]) -> NDArray[Any]:
    scores = np.asarray(scores)
    if scores.ndim != 2 or len(scores) == 0:
        raise ValueError(f"scores must be (N, C) with N > 0, got {scores.shape}")
    finite = np.isfinite(scores).all(1)
    if not finite.all():
        raise ValueError(f"the scores of example {int(np.argmin(finite))} are not finite")
    return scores
