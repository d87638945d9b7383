"""How far two orders of tasks agree: Kendall's τ, with its interval."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

RESAMPLES = 1000


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


def agreements(trials: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, float, list[str], list[float]]]:
    """Two budgets, the tasks that have both, and Kendall's τ of their orders with its 95 % interval.

    τ is the mean over probes and sets. In each resample of the val images all trials are scored on the same.
    """
    rights = {(one["task"], one["times"]): one["right"] for one in trials}
    tasks = sorted({task for task, _ in rights})
    for few, many in combinations(sorted({times for _, times in rights}), 2):
        both = [task for task in tasks if (task, few) in rights and (task, many) in rights]
        if len(both) >= 3:
            sides = [[rights[task, times] for task in both] for times in (few, many)]
            yield few, many, both, agreement(sides)


def agreement(sides: Sequence[Sequence[Mapping[str, Any]]]) -> list[float]:
    """Kendall's τ of two orders of the same tasks, and the ends of its interval."""
    generator = np.random.default_rng(0)
    found: list[NDArray[np.float64]] = []
    for probe in sides[0][0]:
        right = np.stack([[unpacked(one[probe]) for one in side] for side in sides])  # (2, T, N)
        count = right.shape[-1]
        drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)
        weights = np.concatenate([np.ones((1, count)), drawn])
        scores = right.astype(np.float64) @ weights.T  # (2, T, 1 + RESAMPLES)
        found.append(np.array([kendalltau(*scores[..., at]).statistic for at in range(scores.shape[-1])]))
    value, *resampled = np.mean(found, axis=0)
    return [float(value), *map(float, np.percentile(resampled, [2.5, 97.5]))]
