"""Encoder-blind classifiers: what is reached without recognising anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.classification.labels import check_against, fitted_classes, labels_of, primary
from downstream.heads.linear_grid import LinearGrid
from downstream.protocol import BlindPredictor, Predictions, Runtime, Trial
from downstream.selection import best, judged
from pretext.data.dataset import Split

BATCH = 250


@dataclass(frozen=True)
class ConstantScore(BlindPredictor):
    """The same score for every class and image: chance."""

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Learn the number of classes."""
        return _constant(np.zeros(fitted_classes(train), dtype=np.float32), labels_of(train).ndim == 2)


@dataclass(frozen=True)
class LabelPrior(BlindPredictor):
    """The share of each class in train as the score of every image."""

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Count the classes of train."""
        classes, labels = fitted_classes(train), labels_of(train)
        counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
        return _constant((counts / len(labels)).astype(np.float32), labels.ndim == 2)


@dataclass(frozen=True)
class HistogramProbe(BlindPredictor):
    """A linear probe on a histogram of the whole image, the setting chosen on val.

    Shares of pixels enter by their square root, which makes the distance of two histograms Hellinger's.

    Args:
        histogram: (B, H, W, 3) uint8 → (B, bins) counts.
        grid: learning rates, weight decays and the budget.
    """

    histogram: Callable[[NDArray[np.uint8]], NDArray[np.int64]]
    grid: LinearGrid = field(default_factory=LinearGrid)

    @property
    def sees_color(self) -> bool:
        """Whether the histogram is of colours."""
        return self.histogram is rgb_histogram

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Fit every setting on train, keep the best on val."""
        classes, labels = fitted_classes(train), labels_of(train)
        multi_label = labels.ndim == 2
        heads = self.grid.fit(self._features(train), labels, classes, runtime.device, runtime.seed)
        on_val, metric = self._features(val), primary(multi_label)
        wanted = check_against(val, multi_label, classes)
        each = [heads.select(p) for p in range(len(self.grid.settings))]
        trials = [
            Trial("", setting._asdict(), judged(metric, {"scores": head.logits(on_val), "labels": wanted}))
            for head, setting in zip(each, self.grid.settings, strict=True)
        ]
        chosen = each[trials.index(best(trials))]

        def predict(split: Split) -> Predictions:
            truth = check_against(split, multi_label, classes)
            return {"scores": chosen.logits(self._features(split)), "labels": truth}

        return predict

    def _features(self, split: Split) -> NDArray[np.float32]:
        parts = [self.histogram(split.pixels[i : i + BATCH]) for i in range(0, len(split), BATCH)]
        counts = np.concatenate(parts)
        return np.asarray(np.sqrt(counts / counts.sum(1, keepdims=True)), dtype=np.float32)


def rgb_histogram(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Joint histogram of 4 × 4 × 4 levels of red, green, blue: (B, H, W, 3) → (B, 64)."""
    levels = np.asarray(pixels) >> 6
    return _count(levels[..., 0] * np.uint8(16) + levels[..., 1] * np.uint8(4) + levels[..., 2], 64)


def luminance_histogram(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Histogram of 64 levels of Rec. 601 luma: (B, H, W, 3) → (B, 64)."""
    luma = np.asarray(pixels).astype(np.int64) @ np.array([299, 587, 114]) // 1000
    return _count(luma >> 2, 64)


def blind_classifiers() -> dict[str, BlindPredictor]:
    """The predictors that classification is read against."""
    return {
        "constant": ConstantScore(),
        "label_prior": LabelPrior(),
        "rgb_histogram": HistogramProbe(rgb_histogram),
        "luminance_histogram": HistogramProbe(luminance_histogram),
    }


def _constant(scores: NDArray[np.float32], multi_label: bool) -> Callable[[Split], Predictions]:
    def predict(split: Split) -> Predictions:
        labels = check_against(split, multi_label, len(scores))
        return {"scores": np.broadcast_to(scores, (len(split), len(scores))).copy(), "labels": labels}

    return predict


def _count(bins: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Histogram of each image: (B, H, W) below `size` → (B, size)."""
    n = len(bins)
    flat = bins.reshape(n, -1).astype(np.int64) + size * np.arange(n)[:, None]
    return np.bincount(flat.ravel(), minlength=n * size).reshape(n, size)
