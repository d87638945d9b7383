"""Robustness of the linear probe: fitted on clean images, tested on corrupted ones (arXiv:1903.12261)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.classification.baselines import blind_classifiers
from downstream.classification.labels import check_against, labels_of
from downstream.classification.linear import FittedProbe, LinearProbe
from downstream.course import Course
from downstream.images.corruptions import ALL, Corruption, corrupt
from downstream.metrics.bootstrap import example_mean
from downstream.metrics.scores import Ranking, mean_over_classes, top_k_hits
from downstream.protocol import (
    BlindPredictor,
    Fitted,
    Measure,
    Metric,
    Predictions,
    Protocol,
    Runtime,
    Trial,
    fractions,
    silent,
)
from pretext.data.dataset import Split
from pretext.encoder import Encoder


@dataclass(frozen=True)
class Robustness(Protocol):
    """Accuracy (mAP) of the linear probe on test images under common corruptions (arXiv:1903.12261).

    The probe is fitted and chosen on clean images, as `linear` does; only its selected stage is tested. The
    primary metric is the mean over corruptions and severities, which is one minus the published mean
    corruption error before that is divided by AlexNet's. Accuracy on clean test images and under each
    corruption, the mean over its severities, stand beside it. Corruptions are computed on the images as the
    data set holds them.

    Args:
        probe: the linear probe.
        corruptions: what is done to the test images, all with as many severities.

    Raises:
        ValueError: no corruption, one given twice, or severities that differ in number.
    """

    probe: LinearProbe = field(default_factory=LinearProbe)
    corruptions: tuple[Corruption, ...] = ALL

    name = "robustness"
    version = 1
    paper = "arXiv:1903.12261"
    task = "classification"
    trains_encoder = False
    headless = "its probe is that of linear, which keeps it"

    def __post_init__(self) -> None:
        object.__setattr__(self, "corruptions", tuple(self.corruptions))  # lists come from configurations
        names = [corruption.name for corruption in self.corruptions]
        severities = {corruption.name: len(corruption.levels) for corruption in self.corruptions}
        if not names or len(severities) < len(names) or len(set(severities.values())) > 1:
            raise ValueError(
                f"Robustness: corruptions must be several, each once and of equally many levels; got {names} "
                f"with {list(severities.values())} levels"
            )

    @property
    def selects(self) -> tuple[str, ...]:
        """What the probe selects."""
        return self.probe.selects

    def check(self, train: Split, *held: Split) -> None:
        """As the probe."""
        self.probe.check(train, *held)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedRobustness:
        """Fit the probe on train and select on val, both clean.

        Raises:
            ValueError: as `LinearProbe.fit`.
        """
        probe = self.probe.fit(encoder, train, val, runtime)
        return FittedRobustness(
            stage=probe.stage,
            trials=probe.trials,
            at_edge=probe.at_edge,
            train_score=probe.train_score,
            course=probe.course,
            probe=probe,
            corruptions=self.corruptions,
        )

    def metrics(self, split: Split) -> dict[str, Measure]:
        """Mean over corruptions, clean, each corruption: top-1, or mAP where an image has several classes."""
        several = labels_of(split).ndim == 2
        unit, of = ("mAP", _CorruptedPrecision) if several else ("top1", _corrupted_top1)
        every = tuple(range(len(self.corruptions)))
        clean: Metric = _clean_precision if several else _clean_top1
        each = {f"{unit}_{corruption.name}": of((i,)) for i, corruption in enumerate(self.corruptions)}
        return fractions({f"{unit}_corrupted": of(every), f"{unit}_clean": clean, **each})

    def blind(self) -> dict[str, BlindPredictor]:
        """The share of each class, and a histogram of colours, which corruptions change as well."""
        made = blind_classifiers()
        return {
            name: BlindUnderCorruption(made[name], self.corruptions)
            for name in ("label_prior", "rgb_histogram")
        }


@dataclass(frozen=True)
class FittedRobustness(Fitted):
    """The probe of clean images."""

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    probe: FittedProbe
    corruptions: tuple[Corruption, ...]
    course: Course | None = None

    @property
    def selected(self) -> dict[str, float | int | str]:
        """What the probe selected."""
        return self.probe.selected

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows of `_rows` of the selected stage."""
        labels = check_against(test, self.probe.multi_label, self.probe.classes)
        return {self.stage: _rows(self._scores, test, labels, self.corruptions, self.probe.runtime.progress)}

    def _scores(self, split: Split) -> NDArray[np.float32]:
        return self.probe.head.scores(split, self.probe.runtime)


@dataclass(frozen=True)
class BlindUnderCorruption(BlindPredictor):
    """A blind classifier, fitted on clean images and tested on corrupted ones."""

    plain: BlindPredictor
    corruptions: tuple[Corruption, ...]

    @property
    def sees_color(self) -> bool:
        """As the predictor."""
        return self.plain.sees_color

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Fit it on clean images."""
        predict = self.plain.fit(train, val, runtime)

        def rows(split: Split) -> Predictions:
            labels = predict(split)["labels"]
            return _rows(lambda made: predict(made)["scores"], split, labels, self.corruptions)

        return rows


def _rows(
    scores: Callable[[Split], NDArray[Any]],
    split: Split,
    labels: NDArray[Any],
    corruptions: Sequence[Corruption],
    progress: Callable[[str, int, int], None] = silent,
) -> Predictions:
    """Results on clean images and on K corruptions at S severities.

    Returns:
        One class an image: hits {"clean": (N,), "corrupted": (N, K, S)}. Several: scores {"clean": (N, C),
        "corrupted": (N, K, S, C)} and "labels" (N, C).
    """

    def result(made: Split) -> NDArray[np.float32]:
        found = scores(made)
        found = found if labels.ndim == 2 else top_k_hits(found, labels, 1)
        return np.asarray(found, dtype=np.float32)

    corrupted = []
    for done, corruption in enumerate(corruptions):
        severities = range(1, len(corruption.levels) + 1)
        corrupted.append(np.stack([result(corrupt(split, corruption, s)) for s in severities], 1))
        progress("corruptions", done + 1, len(corruptions))
    rows = {"clean": result(split), "corrupted": np.stack(corrupted, 1)}
    return rows | ({"labels": labels} if labels.ndim == 2 else {})


def _corrupted_top1(which: Sequence[int]) -> Metric:
    """Mean hit over the corruptions `which` and their severities."""
    return example_mean(lambda rows: rows["corrupted"][:, list(which)].mean((1, 2), dtype=np.float64))


_clean_top1 = example_mean(lambda rows: rows["clean"])


class _CorruptedPrecision:
    """Mean over the corruptions `which` and their severities of mAP."""

    def __init__(self, which: Sequence[int]) -> None:
        self.which = list(which)

    def __call__(self, rows: Predictions) -> float:
        return self.counted(rows)(np.ones(len(rows["clean"]), dtype=np.int64))

    def counted(self, rows: Predictions) -> Callable[[NDArray[np.int64]], float]:
        """The metric of any multiset of these rows (see `downstream.metrics.bootstrap`)."""
        scores = rows["corrupted"][:, self.which]  # (N, K, S, C)
        columns = scores.reshape(len(scores), -1, scores.shape[-1])  # (N, K·S, C)
        rankings = [Ranking.of(columns[:, i], rows["labels"]) for i in range(columns.shape[1])]
        return lambda counts: float(
            np.mean([mean_over_classes(ranking.average_precision(counts)) for ranking in rankings])
        )


def _clean_precision(rows: Predictions) -> float:
    return mean_over_classes(Ranking.of(rows["clean"], rows["labels"]).average_precision())
