"""The contract of an evaluation protocol: who may see which split, and when."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.course import Course
from pretext.data.dataset import Split

if TYPE_CHECKING:  # tables are made of what this module names, and need no torch
    import torch

    from downstream.head import Head
    from pretext.encoder import Encoder

SOLVED = ("classification", "detection", "segmentation")
"""Tasks that an encoder helps to solve; scores of other kinds stand beside them and enter no ranking."""

Predictions = Mapping[str, NDArray[Any]]
"""What was predicted, one entry an example on the first axis of every array."""

Metric = Callable[[Predictions], float]
"""Recomputed by the bootstrap on resampled rows; may not depend on their order."""


class Direction(Enum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Scale:
    """What the values of a metric mean; without arguments a share of which more is better.

    Attributes:
        unit: "fraction" is shown in %, any other as it is: "dB", "nats".
        direction: which way is better.
        range: the least and the largest value there can be; None where there is no end.
    """

    unit: str = "fraction"
    direction: Direction = Direction.HIGHER
    range: tuple[float | None, float | None] = (0.0, 1.0)

    def __str__(self) -> str:
        least, largest = ("…" if end is None else f"{end:g}" for end in self.range)
        return f"{self.unit} in [{least}, {largest}], {self.direction.value} is better"

    @property
    def sign(self) -> float:
        """What turns values into ones of which more is better."""
        return 1.0 if self.direction is Direction.HIGHER else -1.0

    @property
    def perfect(self) -> float | None:
        """The best value there can be; None where there is no end."""
        return self.range[1] if self.direction is Direction.HIGHER else self.range[0]

    @property
    def worst(self) -> float | None:
        """The worst value there can be; None where there is no end."""
        return self.range[0] if self.direction is Direction.HIGHER else self.range[1]

    def merit(self, value: float) -> float:
        """The value with its sign turned where less is better: the higher, the better."""
        return self.sign * value

    def __contains__(self, value: object) -> bool:
        """Whether it is a number within the range; NaN and infinity are not."""
        least, largest = self.range
        return (
            isinstance(value, int | float)
            and math.isfinite(value)
            and (least is None or least <= value)
            and (largest is None or value <= largest)
        )

    def error(self, value: float, examples: int) -> float:
        """√((v − a) (b − v) / n): of a mean v of n independent numbers in [a, b] the standard error at most.

        0 where the range has no end: then nothing is known of it.
        """
        least, largest = self.range
        if least is None or largest is None:
            return 0.0
        return math.sqrt(max((value - least) * (largest - value), 0.0) / examples)


FRACTION = Scale()
"""A share of which more is better: accuracy, average precision, IoU."""


@dataclass(frozen=True)
class Measure:
    """A metric and what its values mean; called as the metric.

    Attributes:
        metric: what computes it from rows.
        scale: of its values, which a gate holds them to.
        resampled: whether its interval is asked for though it is not the primary one.
    """

    metric: Metric
    scale: Scale = FRACTION
    resampled: bool = False

    def __call__(self, rows: Predictions) -> float:
        """The metric of these rows."""
        return self.metric(rows)


def fractions(metrics: Mapping[str, Metric]) -> dict[str, Measure]:
    """Metrics in [0, 1] of which more is better."""
    return {name: Measure(metric) for name, metric in metrics.items()}


def silent(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


def _cpu() -> torch.device:
    from torch import device

    return device("cpu")


@dataclass(frozen=True)
class Runtime:
    """Where and how an evaluation runs; decides nothing about what is measured but the seed.

    autocast: bfloat16 on a GPU that has it, else None. progress(what, done, total) is called often.
    cache_limit: bytes that cached features may take; None: any number. redo: whether stored scores are made
    again whose scoring code has changed since.
    """

    device: torch.device = field(default_factory=_cpu)
    autocast: torch.dtype | None = None
    seed: int = 0
    cache: Path = Path("outputs/cache")
    progress: Callable[[str, int, int], None] = silent
    cache_limit: int | None = None
    redo: bool = False


class GateFailed(RuntimeError):
    """A score that must not be kept; `gate` names what failed."""

    def __init__(self, gate: str, reason: str) -> None:
        super().__init__(f"gate {gate!r} failed: {reason}")
        self.gate = gate
        self.reason = reason


class Trial(NamedTuple):
    """One setting that was fitted on train and scored on val.

    val: NaN where the setting diverged: it cannot be selected. why: what happened to such a one.
    scale: of what val was scored by, which need not be the primary metric.
    """

    stage: str
    setting: dict[str, float | int | str]
    val: float
    why: str = ""
    scale: Scale = FRACTION

    @property
    def merit(self) -> float:
        """The score on val, of which more is better; NaN where there is none."""
        return self.scale.merit(self.val)


class Fitted(ABC):
    """A head after fitting and selection.

    Attributes:
        stage: the stage selected on val.
        trials: all settings tried, every stage's among them.
        at_edge: names of hyper-parameters whose selected value lies at the end of its grid.
        train_score: the primary metric on (a part of) train: an untrained head shows here.
        course: how the loss went while the selected head was trained; None where no gradient trained it.
    """

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    course: Course | None = None

    @property
    def held_out(self) -> float | None:
        """Score on val of what `train_score` is of; None where val was scored by another metric."""
        own = [trial for trial in self.trials if trial.stage == self.stage and math.isfinite(trial.val)]
        return max(own, key=lambda trial: trial.merit).val if own else None

    @property
    @abstractmethod
    def selected(self) -> dict[str, float | int | str]:
        """The hyper-parameters chosen on val for the selected stage."""

    @property
    def head(self) -> Head | None:
        """What of the selected stage can be kept, and asked about new images; None where nothing can."""
        return None

    @abstractmethod
    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows by stage, each stage with its own setting chosen on val; the selected stage among them."""

    def show(self, images: Split, names: Sequence[str] = ()) -> NDArray[np.uint8] | None:
        """Draw the predictions on these few images beside the truth: (H, W, 3), or None if not visual.

        Args:
            names: of the classes that are drawn, by label.
        """
        return None


class Judgement(ABC):
    """One named, versioned way to score rows of predictions. Concrete ones are frozen dataclasses.

    Attributes:
        name, version: stored in every record; a change of what is measured raises the version.
        task: one of `SOLVED`, or "calibration", "representation" or "colorization", whose scores describe and
            rank no encoder.
        trains_encoder: whether encoder parameters may move; where not, a gate checks them to the bit.
        legacy: whether the published protocol selects on test; then val is test and records say so.
        paper: who published it: "arXiv:…", or "this suite" for what is nobody else's.
    """

    name: str
    version: int
    task: str
    trains_encoder: bool
    legacy: bool = False
    paper: str = "this suite"

    @abstractmethod
    def metrics(self, split: Split) -> dict[str, Measure]:
        """Metrics by name for this kind of labels, each with what its values mean; the primary one first."""


class Protocol(Judgement):
    """One way to judge an encoder.

    Attributes:
        trains_head: whether something is fitted to train's labels; else a weak score there is no fault.
        headless: why no head is kept; None where one is, see `downstream.head.WithHead`.
    """

    trains_head: bool = True
    headless: str | None = "nothing that it fits is made to be asked about a new image"

    @property
    def selects(self) -> tuple[str, ...] | None:
        """What `fit` chooses, by its settings' names, "stage" among them; None where a class does not say."""
        return None

    @property
    def freezes(self) -> str | None:
        """What of the encoder stays as it is, in words, where more does than `recipe` says; else None."""
        return None

    def check(self, train: Split, *held: Split) -> None:
        """Refuse what `fit` cannot be done on, or its heads cannot score: seen from the labels alone.

        Asked before anything is pretrained, with the splits that will be scored; `fit` asks it too.

        Args:
            held: val, then whatever else is scored.

        Raises:
            ValueError: names the split, and the class, number or value that does not fit.
        """

    @abstractmethod
    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> Fitted:
        """Fit and select. Sees train and val; must leave `encoder` as it was (fine-tuning copies it)."""

    @abstractmethod
    def blind(self) -> dict[str, BlindPredictor]:
        """The encoder-blind predictors that every score is read against."""


def require_positive(settings: object, *names: str) -> None:
    """Refuse fields of a protocol that are below 1 (None is no value), when it is made.

    Raises:
        ValueError: the first such field, by name.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ValueError(f"{type(settings).__name__}: {name} must be at least 1, got {value}")


class BlindPredictor(ABC):
    """Predicts without looking at an encoder: label prior, histogram, position prior, constant box."""

    @property
    def sees_color(self) -> bool:
        """Whether it looks at the colours of an image; not, unless it says so."""
        return False

    @abstractmethod
    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Fit on train, select on val, return what predicts a split."""


def take(rows: Predictions, index: NDArray[np.int64]) -> Predictions:
    """Rows of the examples `index` (repetition allowed), as a bootstrap draws them."""
    return {name: values[index] for name, values in rows.items()}
