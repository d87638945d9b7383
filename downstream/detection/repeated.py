"""Several trainings of one detector, their scores averaged, as papers report detection."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from downstream.course import Course
from downstream.detection.average_precision import AveragePrecision
from downstream.detection.head import Detecting, FoundObjects
from downstream.detection.scoring import FittedDetectors
from downstream.head import Head
from downstream.metrics.interpolation import Counts
from downstream.protocol import Fitted, Predictions, Runtime, Trial
from pretext.data.dataset import Split

_TRIAL = re.compile(r"trial(\d+)_(.+)")


def join(rows: Sequence[Predictions]) -> Predictions:
    """Rows of several trials on the same images as one: `trial0_scores`, `trial1_scores`, …"""
    return {f"trial{i}_{name}": values for i, trial in enumerate(rows) for name, values in trial.items()}


def separate(rows: Predictions) -> list[Predictions]:
    """The trials in such rows; rows of one predictor, as encoder-blind ones are, count as one trial."""
    trials: dict[int, dict[str, NDArray[np.generic]]] = {}
    for name, values in rows.items():
        found = _TRIAL.fullmatch(name)
        if found is None:
            return [rows]
        trials.setdefault(int(found[1]), {})[found[2]] = values
    return [trials[i] for i in sorted(trials)]


@dataclass(frozen=True)
class MeanOverTrials:
    """A metric of each trial, averaged."""

    metric: AveragePrecision

    def __call__(self, rows: Predictions) -> float:
        """Score rows, each counted once."""
        return float(np.mean([self.metric(trial) for trial in separate(rows)]))

    def counted(self, rows: Predictions) -> Callable[[Counts], float]:
        """As `AveragePrecision.counted`; all trials see the same resample of images."""
        scores = [self.metric.counted(trial) for trial in separate(rows)]
        return lambda counts: float(np.mean([score(counts) for score in scores]))


@dataclass(frozen=True, kw_only=True)
class Trials(Head):
    """Detectors that differ in their seed alone; all are scored, and the first one is asked."""

    classes: int
    heads: tuple[Detecting, ...]

    def tensors(self) -> dict[str, Tensor]:
        """Those of each."""
        return {
            f"trial{i}.{name}": value
            for i, head in enumerate(self.heads)
            for name, value in head.tensors().items()
        }

    def predict(self, images: Split, runtime: Runtime) -> FoundObjects:
        """What the first trial finds."""
        return self.heads[0].predict(images, runtime)

    def rows(self, split: Split, runtime: Runtime) -> Predictions:
        """Rows of every trial, see `join`."""
        return join([head.rows(split, runtime) for head in self.heads])


@dataclass(frozen=True)
class RepeatedDetectors(Fitted):
    """Detectors that differ in their seed alone; scores on train and val are means over them.

    course: of the one whose loss settled least.
    """

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    fits: tuple[FittedDetectors, ...]
    course: Course | None = None

    @property
    def selected(self) -> dict[str, float | int | str]:
        """The setting of all of them."""
        return self.fits[0].selected

    @property
    def head(self) -> Trials:
        """Every trial's."""
        heads = tuple(fit.head for fit in self.fits)
        return Trials(classes=heads[0].classes, heads=heads)

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows of every trial, see `join`."""
        return {self.stage: join([fit.predict(test)[self.stage] for fit in self.fits])}

    def show(self, images: Split, names: Sequence[str] = ()) -> NDArray[np.uint8]:
        """Draw what the first trial detects."""
        return self.fits[0].show(images, names)


def repeated(fits: Sequence[FittedDetectors]) -> RepeatedDetectors:
    """Put detectors of one setting together."""
    val = float(np.mean([fit.trials[0].val for fit in fits]))
    return RepeatedDetectors(
        stage=fits[0].stage,
        trials=(fits[0].trials[0]._replace(val=val),),
        at_edge=(),
        train_score=float(np.mean([fit.train_score for fit in fits])),
        course=max((fit.course for fit in fits if fit.course), key=lambda course: course.late, default=None),
        fits=tuple(fits),
    )
