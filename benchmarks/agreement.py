"""How far two orders of tasks agree: Kendall's τ with its interval, and what was turned round."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

RESAMPLES = 1000
CLEAR = 1.96
"""Standard errors over images from which on two tasks are told apart."""


class Agreement(NamedTuple):
    """Of two budgets.

    tau: Kendall's τ of their orders and the ends of its 95 % interval, the mean over probes and sets. apart:
    pairs of tasks that are told apart at both budgets. turned: how many of these changed places.
    """

    few: float
    many: float
    tasks: list[str]
    tau: list[float]
    apart: int
    turned: int


def packed(right: NDArray[np.bool_]) -> dict[str, Any]:
    """Bits as text."""
    return {"n": len(right), "bits": base64.b64encode(zlib.compress(np.packbits(right).tobytes())).decode()}


def unpacked(kept: Mapping[str, Any]) -> NDArray[np.bool_]:
    """What `packed` was given."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(kept["bits"])), np.uint8)
    return np.unpackbits(bits, count=kept["n"]).astype(bool)


def accuracies(trials: Sequence[Mapping[str, Any]]) -> dict[tuple[str, float], dict[str, float]]:
    """By task and budget: what share of val each probe gets right."""
    return {
        (one["task"], one["times"]): {
            probe: float(unpacked(bits).mean()) for probe, bits in one["right"].items()
        }
        for one in trials
    }


def agreements(trials: Sequence[Mapping[str, Any]]) -> Iterator[Agreement]:
    """Two budgets each, by the tasks that have both; those that take no step are beside them at each.

    In each resample of the val images all trials are scored on the same.
    """
    rights = {(one["task"], one["times"]): one["right"] for one in trials}
    tasks = sorted({task for task, _ in rights})
    for budgets in combinations(sorted({times for _, times in rights} - {0}), 2):
        found = [
            {task: rights[task, own] for task in tasks for own in (0, t) if (task, own) in rights}
            for t in budgets
        ]
        both = [task for task in tasks if all(task in side for side in found)]
        if len(both) >= 3:
            sides = [[side[task] for task in both] for side in found]
            yield Agreement(*budgets, both, agreement(sides), *turned_round(sides))


def settled_from(found: Sequence[Agreement]) -> float | None:
    """The least budget from which on no two tasks that are told apart change places, if any is followed."""
    budgets = sorted({each.few for each in found})
    return next((t for t in budgets if not any(each.turned for each in found if each.few >= t)), None)


def agreement(sides: Sequence[Sequence[Mapping[str, Any]]]) -> list[float]:
    """Kendall's τ of two orders of the same tasks, and the ends of its interval."""
    probes = sides[0][0]
    found: list[NDArray[np.float64]] = []
    for probe, weights in zip(probes, _resampled(tuple(one["n"] for one in probes.values())), strict=True):
        right = np.stack([[unpacked(one[probe]) for one in side] for side in sides])  # (2, T, N)
        few, many = right.astype(np.float32) @ weights  # (T, 1 + RESAMPLES) each, whole numbers
        found.append(kendalltau(few, many, axis=0).statistic)
    value, *resampled = np.mean(found, axis=0)
    return [float(value), *map(float, np.percentile(resampled, [2.5, 97.5]))]


@lru_cache(maxsize=1)  # every two budgets are compared on the same
def _resampled(counts: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """How often each image counts (N, 1 + RESAMPLES), a probe each: once, and then as it is drawn."""
    generator = np.random.default_rng(0)
    drawn = [generator.multinomial(count, np.full(count, 1 / count), RESAMPLES) for count in counts]
    return [np.concatenate([np.ones((1, own.shape[1])), own]).T.astype(np.float32) for own in drawn]


def turned_round(sides: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[int, int]:
    """How many pairs of tasks are told apart on both sides, and how many of these changed places.

    By the mean of all probes and sets, each pair by itself at 95 %: of the same images, paired.
    """
    shares = [[_by_set(one) for one in side] for side in sides]
    apart = turned = 0
    for first, second in combinations(range(len(shares[0])), 2):
        gaps = [_gap(side[first], side[second]) for side in shares]
        if all(abs(gap) > CLEAR * error for gap, error in gaps):
            apart += 1
            turned += gaps[0][0] * gaps[1][0] < 0
    return apart, turned


def _by_set(right: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Of each set, the share of its probes that get each image right: they see the same images."""
    found: dict[str, list[NDArray[np.bool_]]] = {}
    for probe, bits in right.items():
        found.setdefault(probe.partition(" · ")[0], []).append(unpacked(bits))
    return {data: np.mean(own, axis=0) for data, own in found.items()}


def _gap(
    one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]]
) -> tuple[float, float]:
    """The difference of two tasks, the mean over sets, and its standard error over images."""
    differences = [one[data] - other[data] for data in one]
    variance = sum(float(each.var(ddof=1)) / len(each) for each in differences)
    return float(np.mean([each.mean() for each in differences])), variance**0.5 / len(differences)
