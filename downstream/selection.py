"""Choosing among trials by their score on val, and telling when a grid was too short."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from downstream.protocol import Trial

NATURAL_ENDS: dict[str, float] = {"weight_decay": 0.0, "pool": 1.0, "adjustment": 0.0}
"""Ends beyond which no value exists, so that choosing them says nothing about the grid."""


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest score on val; the earliest of equal ones.

    Raises:
        ValueError: no trial, or one whose score is not finite.
    """
    if not trials:
        raise ValueError("there is no trial to choose from")
    for trial in trials:
        if not math.isfinite(trial.val):
            raise ValueError(f"stage {trial.stage!r}, {trial.setting}: the score on val is {trial.val}")
    return max(trials, key=lambda trial: trial.val)


def several(**grids: Sequence[object]) -> tuple[str, ...]:
    """Names of the grids that leave a choice."""
    return tuple(name for name, grid in grids.items() if len(grid) > 1)


class Candidate(Protocol):
    """Something that was tried, with what val said of it."""

    @property
    def trial(self) -> Trial:
        """Stage, setting and score."""
        ...


C = TypeVar("C", bound=Candidate)


def best_by_stage(candidates: Iterable[C]) -> tuple[tuple[Trial, ...], dict[str, C]]:
    """Every trial, and of each stage the candidate with the highest score; the earliest of equal ones."""
    trials: list[Trial] = []
    chosen: dict[str, C] = {}
    for candidate in candidates:
        trial = candidate.trial
        trials.append(trial)
        if trial.stage not in chosen or trial.val > chosen[trial.stage].trial.val:
            chosen[trial.stage] = candidate
    return tuple(trials), chosen


def at_edge(trials: Sequence[Trial], chosen: Trial) -> tuple[str, ...]:
    """Hyper-parameters whose chosen value is the end of its grid, and beats every value inside it.

    Args:
        trials: those of the chosen stage at least; other stages' are left out.
    """
    own = [trial for trial in trials if trial.stage == chosen.stage]
    return tuple(name for name in chosen.setting if _edge(own, chosen, name))


def _edge(trials: Sequence[Trial], chosen: Trial, name: str) -> bool:
    value = chosen.setting[name]
    grid = {trial.setting[name] for trial in trials}
    numbers = sorted(v for v in grid if isinstance(v, int | float))
    if len(numbers) < 2 or not isinstance(value, int | float):
        return False  # not tuned, or without an order
    if value not in (numbers[0], numbers[-1]) or value == NATURAL_ENDS.get(name):
        return False
    inner = [trial.val for trial in trials if trial.setting[name] in numbers[1:-1]]
    return not inner or max(inner) < chosen.val
