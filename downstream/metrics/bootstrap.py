"""Resampling the test images: the same resamples for every predictor of one split, so that rows pair up.

A metric may offer `counted(rows)`, which works on the rows once and returns a function of counts (N,): the
metric with row i taken counts[i] times. Without it the metric is called on the rows of every resample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.digest import digest
from downstream.metrics.scores import Undefined
from downstream.protocol import Metric, Predictions, silent, take


@dataclass(frozen=True)
class Additive:
    """A metric of sums over examples: accuracy, pixel accuracy, mIoU from confusion matrices.

    Attributes:
        parts: rows → (N, ...) numbers, one entry an example.
        finish: their sum over examples (...) and the number of examples → the metric.
    """

    parts: Callable[[Predictions], NDArray[Any]]
    finish: Callable[[NDArray[np.float64], int], float]

    def __call__(self, rows: Predictions) -> float:
        """The metric of these rows."""
        parts = np.asarray(self.parts(rows), dtype=np.float64)
        return float(self.finish(parts.sum(axis=0), len(parts)))

    def counted(self, rows: Predictions) -> Callable[[NDArray[np.int64]], float]:
        """The metric of any multiset of these rows, at one matrix product each."""
        parts = np.asarray(self.parts(rows), dtype=np.float64)  # (N, ...)
        flat = parts.reshape(len(parts), -1)
        return lambda counts: float(self.finish((counts @ flat).reshape(parts.shape[1:]), int(counts.sum())))


def example_mean(values: Callable[[Predictions], NDArray[Any]]) -> Additive:
    """The mean over examples of `values(rows)` (N,)."""
    return Additive(values, lambda total, examples: float(total) / examples)


def resamples(split_digest: str, examples: int, count: int) -> NDArray[np.int64]:
    """Indices (count, examples) drawn with replacement; they depend on nothing but the split.

    A smaller `count` is a prefix of a larger one.

    Raises:
        ValueError: no examples, or a negative count.
    """
    if examples < 1 or count < 0:
        raise ValueError(f"cannot draw {count} resamples of {examples} examples")
    seed = int(digest(["bootstrap", split_digest])[:16], 16)
    return np.random.default_rng(seed).integers(0, examples, size=(count, examples), dtype=np.int64)


def bootstrap(
    metric: Metric,
    rows: Predictions,
    draws: NDArray[np.int64],
    progress: Callable[[str, int, int], None] = silent,
) -> NDArray[np.float64]:
    """The metric on each resample.

    Args:
        metric: recomputed on the rows of each resample (mAP and mIoU are no means of examples).
        rows: predictions, N examples on the first axis.
        draws: (count, N) from `resamples`.

    Returns:
        (count,) values; NaN for a resample on which the metric is not defined (no object of any class in it).
    """
    score = _scorer(metric, rows)
    values = np.empty(len(draws))
    for position, index in enumerate(draws):
        try:
            values[position] = score(index)
        except Undefined:
            values[position] = np.nan
        progress("bootstrap", position + 1, len(draws))
    return np.where(np.isfinite(values), values, np.nan)


def _scorer(metric: Metric, rows: Predictions) -> Callable[[NDArray[np.int64]], float]:
    counted_by = getattr(
        metric, "counted", None
    )  # functions have no attributes to mypy's mind: no isinstance
    if counted_by is None:
        return lambda index: metric(take(rows, index))
    counted: Callable[[NDArray[np.int64]], float] = counted_by(rows)
    examples = len(next(iter(rows.values())))
    return lambda index: counted(np.bincount(index, minlength=examples))
