"""Draws of a few images a class, and scores of what was fitted on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.classification.labels import labels_of
from downstream.classification.voc_ap import (
    average_precisions,
    difficult_of,
    voc_ap_area,
    with_difficult,
)
from downstream.metrics.bootstrap import example_mean
from downstream.metrics.interpolation import area_interpolation
from downstream.metrics.scores import mean_over_classes, top_k_hits
from downstream.protocol import BlindPredictor, Measure, Metric, Predictions, Runtime, fractions
from pretext.data.dataset import Split


@dataclass(frozen=True)
class Shots:
    """k images of each class, in several independent draws; a smaller k's are among a larger one's.

    Where an image may have several classes, each class is drawn by itself: k images that show it and
    `negatives` · k that do not (difficult objects count as neither). Where it has one, k images of every
    class are drawn, and those of the others are a class's negatives. The split's digest decides who is drawn.

    Args:
        ks: numbers of images a class.
        draws: how often everything is drawn.
        negatives: images without the class for each one with it.
    """

    ks: tuple[int, ...]
    draws: int
    negatives: int

    def check(self, train: Split, classes: int) -> None:
        """Whether every class has as many images, and as many others, as the largest k takes.

        Raises:
            ValueError: names the class, what it has, and the largest k.
        """
        self._pools(train, labels_of(train), classes)

    def of(self, train: Split, classes: int) -> dict[int, NDArray[np.int8]]:
        """By k: (N, draws, classes), 1 for a positive, −1 for a negative example, 0 for one not drawn.

        Raises:
            ValueError: as `check`.
        """
        labels = labels_of(train)
        found = {k: np.zeros((len(labels), self.draws, classes), np.int8) for k in self.ks}
        for c, (inside, outside) in enumerate(self._pools(train, labels, classes)):
            for draw in range(self.draws):
                generator = np.random.default_rng([_seed(train), draw, c])
                with_class, without = generator.permutation(inside), generator.permutation(outside)
                for k, signs in found.items():
                    signs[with_class[:k], draw, c] = 1
                    signs[without[: k * self.negatives], draw, c] = -1
        if labels.ndim == 1:
            for signs in found.values():
                drawn = signs.any(2, keepdims=True)  # of any class: a negative of the others
                signs[:] = np.where(drawn & (signs == 0), -1, signs)
        return found

    def _pools(
        self, train: Split, labels: NDArray[Any], classes: int
    ) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """For each class, the images that it can draw with it, and without it (none where others give)."""
        if labels.ndim == 1:
            pools = [(np.flatnonzero(labels == c), np.empty(0, np.intp)) for c in range(classes)]
            room = [len(inside) for inside, _ in pools]
        else:
            difficult = difficult_of(train)
            absent = labels == 0 if difficult is None else (labels == 0) & ~difficult
            pools = [(np.flatnonzero(labels[:, c]), np.flatnonzero(absent[:, c])) for c in range(classes)]
            room = [min(len(inside), len(outside) // self.negatives) for inside, outside in pools]
        scarce = int(np.argmin(room))
        if max(self.ks) > room[scarce]:
            inside, outside = (len(pool) for pool in pools[scarce])
            others = f" and {outside} without it" if labels.ndim == 2 else ""
            needs = f" and {self.negatives} · {max(self.ks)} others" if labels.ndim == 2 else ""
            raise ValueError(
                f"class {scarce} has {inside} images in split {train.name!r}{others}; k = {max(self.ks)} "
                f"needs {max(self.ks)}{needs}: leave out every k above {room[scarce]}"
            )
        return pools


def _seed(split: Split) -> int:
    return int.from_bytes(hashlib.sha256(f"shots {split.digest}".encode()).digest()[:8], "little")


def shot_rows(scores: NDArray[np.float32], split: Split) -> Predictions:
    """Rows of scores (N, K, draws, C).

    Several classes an image: "scores", "labels", and "difficult" where there are such. One class an image:
    "hits" (N, K, draws), the chance that the true class has the highest score.
    """
    labels = labels_of(split)
    if labels.ndim == 2:
        return with_difficult({"scores": scores, "labels": labels}, split)
    n, ks, draws, classes = scores.shape
    columns = scores.reshape(n, -1, classes)
    hits = [top_k_hits(columns[:, i], labels, 1) for i in range(ks * draws)]
    return {"hits": np.stack(hits, 1).reshape(n, ks, draws).astype(np.float32)}


def shot_metrics(ks: Sequence[int], labels: NDArray[Any]) -> dict[str, Measure]:
    """The mean over all k and draws (primary), then the mean over draws for each k."""
    if labels.ndim == 2:
        each: dict[str, Metric] = {f"voc_ap_area_k{k}": ShotPrecision(i) for i, k in enumerate(ks)}
        return fractions({"voc_ap_area": ShotPrecision(None), **each})
    hits: dict[str, Metric] = {f"top1_k{k}": example_mean(_Hits(i)) for i, k in enumerate(ks)}
    return fractions({"top1": example_mean(_Hits(None)), **hits})


def _at(values: NDArray[Any], position: int | None) -> NDArray[Any]:
    """Those of one k; all where it is None, or where values (N, 1, …) are the same for every k."""
    return values if position is None or values.shape[1] == 1 else values[:, position : position + 1]


@dataclass(frozen=True)
class ShotPrecision:
    """VOC's area, the mean over draws and classes, at one k or over all of them."""

    position: int | None

    def __call__(self, rows: Predictions) -> float:
        """Score rows, each counted once."""
        return voc_ap_area(self._flat(rows))

    def counted(self, rows: Predictions) -> Callable[[NDArray[np.int64]], float]:
        """The metric of any multiset of these rows (see `downstream.metrics.bootstrap`)."""
        return voc_ap_area.counted(self._flat(rows))

    def _flat(self, rows: Predictions) -> Predictions:
        scores = _at(rows["scores"], self.position)  # (N, K, draws, C)
        repeated = {
            name: np.broadcast_to(rows[name][:, None, None], scores.shape).reshape(len(scores), -1)
            for name in ("labels", "difficult")
            if name in rows
        }
        return {"scores": scores.reshape(len(scores), -1), **repeated}


@dataclass(frozen=True)
class _Hits:
    position: int | None

    def __call__(self, rows: Predictions) -> NDArray[np.float64]:
        return np.asarray(_at(rows["hits"], self.position).mean((1, 2), dtype=np.float64))


def score_on_shots(scores: NDArray[np.float32], signs: NDArray[np.int8], labels: NDArray[Any]) -> float:
    """The metric on the very images of one draw: scores and signs (n, C), labels of either kind."""
    if labels.ndim == 1:
        return float(top_k_hits(scores, labels, 1).mean())
    return mean_over_classes(average_precisions(scores, signs > 0, signs != 0, area_interpolation))


@dataclass(frozen=True)
class SameAtEveryK(BlindPredictor):
    """Another predictor, fitted on all of train, beside every k."""

    predictor: BlindPredictor

    @property
    def sees_color(self) -> bool:
        """As the predictor."""
        return self.predictor.sees_color

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Fit the predictor."""
        predict = self.predictor.fit(train, val, runtime)
        return lambda split: shot_rows(predict(split)["scores"][:, None, None], split)
