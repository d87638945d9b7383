"""Choosing among trials by their score on val, and telling when a grid was too short."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from downstream.course import Course
from downstream.protocol import Fitted, GateFailed, Metric, Predictions, Runtime, Trial
from pretext.encoder import Encoder

NATURAL_ENDS: dict[str, float] = {"weight_decay": 0.0, "pool": 1.0, "adjustment": 0.0}
"""Lower ends beyond which no value exists, so that choosing them says nothing about the grid."""


T = TypeVar("T")


class Diverged(FloatingPointError):
    """Training, or what it led to, is not finite: the setting has no score."""


def attempt(
    stage: str,
    setting: dict[str, float | int | str],
    train: Callable[[], T],
    score: Callable[[], float],
) -> tuple[Trial, T | None]:
    """Train and score one setting, and return what `train` does; one that diverged has no score, and None."""
    try:
        trained = train()
        return Trial(stage, setting, score()), trained
    except Diverged as error:
        return Trial(stage, setting, math.nan, str(error)), None


def judged(metric: Metric, rows: Predictions) -> float:
    """The metric; NaN where predictions are not finite, as a diverged head's."""
    good = all(np.isfinite(values).all() for values in rows.values() if values.dtype.kind == "f")
    return metric(rows) if good else math.nan


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the best score on val, of those that have one; the earliest of equal ones.

    Raises:
        ValueError: no trial.
        GateFailed: all diverged; names them.
    """
    if not trials:
        raise ValueError("there is no trial to choose from")
    sound = [trial for trial in trials if math.isfinite(trial.val)]
    if not sound:
        raise GateFailed("selection", "every setting diverged: " + "; ".join(map(_named, trials)))
    return max(sound, key=lambda trial: trial.merit)


def _named(trial: Trial) -> str:
    setting = ", ".join(f"{name} {value}" for name, value in trial.setting.items())
    return f"stage {trial.stage!r}, {setting}: {trial.why or f'the score on val is {trial.val}'}"


def several(**grids: Sequence[object]) -> tuple[str, ...]:
    """Names of the grids that leave a choice."""
    return tuple(name for name, grid in grids.items() if len(grid) > 1)


class Candidate(typing.Protocol):
    """Something that was tried, with what val said of it."""

    @property
    def trial(self) -> Trial:
        """Stage, setting and score."""
        ...


C = TypeVar("C", bound=Candidate)


def best_by_stage(candidates: Iterable[C]) -> tuple[tuple[Trial, ...], dict[str, C]]:
    """Every trial, and of each stage the candidate with the best score; the earliest of equal ones.

    A stage of which every setting diverged has none.
    """
    trials: list[Trial] = []
    chosen: dict[str, C] = {}
    for candidate in candidates:
        trial = candidate.trial
        trials.append(trial)
        if not math.isfinite(trial.val):
            continue
        if trial.stage not in chosen or trial.merit > chosen[trial.stage].trial.merit:
            chosen[trial.stage] = candidate
    return tuple(trials), chosen


@dataclass(frozen=True)
class Chosen(Generic[C]):
    """What val chose.

    Attributes:
        trials: all that was tried.
        by_stage: the candidate of each stage that has one.
        winner: the candidate with the best score of all.
        at_edge: see `at_edge`.
    """

    trials: tuple[Trial, ...]
    by_stage: Mapping[str, C]
    winner: C
    at_edge: tuple[str, ...]


def choose_over_stages(
    tried: Iterable[C], examples: int, finest: Callable[[str], Mapping[str, float]] | None = None
) -> Chosen[C]:
    """Choose the setting of each stage, and the stage, by the score on val.

    Args:
        tried: every setting of every stage.
        examples: of val.
        finest: of a stage, the `finest` of `at_edge`.

    Raises:
        GateFailed: all diverged; names them.
    """
    trials, by_stage = best_by_stage(tried)
    winner = by_stage[best(trials).stage]
    ends = finest(winner.trial.stage) if finest is not None else None
    return Chosen(trials, by_stage, winner, at_edge(trials, winner.trial, examples, ends))


@dataclass(frozen=True, kw_only=True)
class OneSetting(Fitted):
    """What was fitted by the setting that val chose, the only one there is of its stage.

    Attributes:
        setting: the one chosen.
    """

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    course: Course | None = None
    setting: dict[str, float | int | str]

    @property
    def selected(self) -> dict[str, float | int | str]:
        """The setting."""
        return dict(self.setting)


@dataclass(frozen=True, kw_only=True)
class StageHeads(Fitted, Generic[C]):
    """What was fitted on each stage of a frozen encoder, with the setting that val chose.

    Attributes:
        encoder, runtime: as `fit` got them.
        chosen: by stage.
    """

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    course: Course | None = None
    encoder: Encoder
    runtime: Runtime
    chosen: Mapping[str, C]

    @property
    def selected(self) -> dict[str, float | int | str]:
        """The setting of the selected stage."""
        return dict(self.chosen[self.stage].trial.setting)


def at_edge(
    trials: Sequence[Trial], chosen: Trial, examples: int, finest: Mapping[str, float] | None = None
) -> tuple[str, ...]:
    """Hyper-parameters whose chosen value is the end of its grid, and beats all others by what val can tell.

    That is one standard error of the chosen score, at its most (`Scale.error`). An end that is
    better by less says that the parameter hardly matters, not that better values lie beyond.

    Settings that diverged belong to the grid: it was long enough on their side.

    Args:
        trials: those of the chosen stage at least; other stages' are left out.
        examples: n, of val.
        finest: values from which on nothing changes, by hyper-parameter: ends that are as natural.
    """
    natural = finest or {}
    own = [trial for trial in trials if trial.stage == chosen.stage]
    error = chosen.scale.error(chosen.val, examples)
    return tuple(
        name for name in chosen.setting if _edge(own, chosen, name, error, natural.get(name, math.inf))
    )


def _edge(trials: Sequence[Trial], chosen: Trial, name: str, error: float, finest: float) -> bool:
    value = chosen.setting[name]
    grid = {trial.setting[name] for trial in trials}
    numbers = sorted(v for v in grid if isinstance(v, int | float))
    if len(numbers) < 2 or not isinstance(value, int | float):
        return False  # not tuned, or without an order
    if value not in (numbers[0], numbers[-1]) or value == NATURAL_ENDS.get(name) or value >= finest:
        return False
    others = [trial.merit for trial in trials if trial.setting[name] != value and math.isfinite(trial.val)]
    return not others or chosen.merit - max(others) > error
