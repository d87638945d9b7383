"""How two orders of tasks agree, against values by hand."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from benchmarks.agreement import (
    accuracies,
    agreement,
    agreements,
    packed,
    settled_from,
    turned_round,
    unpacked,
)

N = 400


def hits(share: float, seed: int = 0) -> dict[str, Any]:
    """So large a share of the images, others for each seed."""
    right = np.arange(N) < share * N
    return packed(np.random.default_rng(seed).permutation(right))


def of(shares: list[float], seed: int = 0) -> list[dict[str, Any]]:
    return [
        {"linear": hits(share, seed + place), "knn": hits(share, seed + place + 50)}
        for place, share in enumerate(shares)
    ]


def test_bits_come_back() -> None:
    right = np.random.default_rng(1).random(N + 3) < 0.3
    assert np.array_equal(unpacked(packed(right)), right)


def test_orders_far_apart_agree_or_are_turned_round() -> None:
    rising = of([0.1, 0.3, 0.5, 0.7])
    assert agreement([rising, of([0.2, 0.4, 0.6, 0.8], seed=9)]) == [1, 1, 1]
    assert agreement([rising, of([0.8, 0.6, 0.4, 0.2], seed=9)]) == [-1, -1, -1]


def test_tau_is_pairs_in_order_less_pairs_turned_round() -> None:
    first, second = [0.1, 0.3, 0.5, 0.7], [0.3, 0.1, 0.7, 0.5]
    signs = [
        np.sign((first[i] - first[j]) * (second[i] - second[j])) for i, j in combinations(range(4), 2)
    ]  # four pairs as before, two the other way
    value, low, high = agreement([of(first), of(second, seed=9)])
    assert value == pytest.approx(sum(signs) / 6) == pytest.approx(1 / 3)
    assert low <= value <= high


def test_a_gap_within_the_noise_leaves_the_order_open() -> None:
    _, low, high = agreement([of([0.30, 0.31, 0.70]), of([0.10, 0.30, 0.70], seed=9)])
    assert low <= 1 / 3 + 0.34 < high == 1


def test_only_tasks_of_both_budgets_are_compared() -> None:
    trials = [
        {"task": task, "times": times, "right": {"linear": hits(share)}}
        for task, times, share in [
            ("a", 0.25, 0.2), ("b", 0.25, 0.3), ("c", 0.25, 0.4), ("d", 0.25, 0.9),
            ("a", 1.0, 0.3), ("b", 1.0, 0.5), ("c", 1.0, 0.6), ("a", 4.0, 0.6),
        ]
    ]  # fmt: skip
    (found,) = agreements(trials)
    assert (found.few, found.many, found.tasks, found.tau[0]) == (0.25, 1.0, ["a", "b", "c"], 1)
    assert (found.apart, found.turned) == (3, 0)
    assert accuracies(trials)["b", 1.0] == {"linear": 0.5}


def test_tasks_without_a_step_stand_beside_others_at_every_budget() -> None:
    trials = [
        {"task": task, "times": times, "right": {"linear": hits(share)}}
        for task, times, share in [
            ("still", 0.0, 0.5), ("a", 0.5, 0.2), ("b", 0.5, 0.8), ("a", 1.0, 0.6), ("b", 1.0, 0.8),
            ("a", 4.0, 0.7), ("b", 4.0, 0.9),
        ]
    ]  # fmt: skip
    found = list(agreements(trials))
    assert [(each.few, each.many, each.apart, each.turned) for each in found] == [
        (0.5, 1.0, 3, 1), (0.5, 4.0, 3, 1), (1.0, 4.0, 3, 0),
    ]  # fmt: skip
    assert all(each.tasks == ["a", "b", "still"] for each in found)
    assert settled_from(found) == 1
    assert settled_from(found[:2]) is None


def test_pairs_that_are_told_apart_and_change_places_are_counted() -> None:
    before, after = of([0.1, 0.3, 0.5, 0.505]), of([0.3, 0.1, 0.7, 0.705], seed=9)
    assert turned_round([before, after]) == (5, 1)  # of six, the last two are told apart nowhere
    assert turned_round([before, before]) == (5, 0)


def test_a_pair_is_told_apart_by_its_paired_error() -> None:
    """Right on 9 images more and 1 less is 1.96 standard errors times 1.30; on 6 and 2, times .72."""
    other = np.arange(N) < 200

    def beside(more: int, less: int) -> dict[str, Any]:
        right = other.copy()
        right[200 : 200 + more] = True
        right[:less] = False
        return {"a · linear": packed(right), "a · knn": packed(right)}

    bare = {"a · linear": packed(other), "a · knn": packed(other)}
    assert turned_round([[beside(9, 1), bare]] * 2) == (1, 0)
    assert turned_round([[beside(6, 2), bare]] * 2) == (0, 0)
    # Two sets of which each alone would not be enough: together they are.
    twice = {name.replace("a", data): bits for data in "ab" for name, bits in beside(6, 2).items()}
    nothing = {name.replace("a", data): bits for data in "ab" for name, bits in bare.items()}
    assert turned_round([[twice, nothing]] * 2) == (1, 0)
