"""The level of a family is that of its definition, drawn pair by pair and choice by choice."""

from __future__ import annotations

import math
from itertools import chain, combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import fdtrc, stdtr

from benchmarks.families import PAIRS, TWINS, worlds
from benchmarks.intervals import Point
from downstream.leaderboard import families
from downstream.leaderboard.families import (
    ERROR,
    Errors,
    Pair,
    all_pairs,
    common_level,
    compare,
    draw,
    errors_of,
    p_values,
    root,
    smallest,
)
from downstream.leaderboard.statistics import Scores
from downstream.leaderboard.variances import OUTLYING

DRAWS = 1000
LOOKED_AT = 70
"""Places of 1000 up to which the smallest p-values must be right: the level is the 50th."""


def larger(own: float, df: float, rest: float, of: float) -> float:
    """Probability of so large squares beside the rest, of one variance."""
    if rest <= 0:
        return 0.0 if own > 0 else 1.0
    return float(fdtrc(df, of, own / df / (rest / of)))


def pooled(found: list[float], df: list[int]) -> tuple[float, int]:
    """Squares and degrees of freedom of all rows but those that stand out, the largest first."""
    order = sorted(range(len(found)), key=lambda row: found[row] / df[row])
    while len(order) > 2:
        *others, last = order
        rest, of = sum(found[row] for row in others), sum(df[row] for row in others)
        if larger(found[last], df[last], rest, of) >= OUTLYING / len(order):
            break
        order = others
    return sum(found[row] for row in order), sum(df[row] for row in order)


def p_of(apart: float, parts: list[tuple[float, float]]) -> float:
    """The largest p-value that any choice of variances and their degrees of freedom gives."""
    found = 0.0
    for chosen in chain.from_iterable(combinations(parts, size) for size in range(1, len(parts) + 1)):
        total = sum(variance for variance, _ in chosen)
        if total > 0:
            df = total**2 / max(sum(variance**2 / df for variance, df in chosen), 1e-300)
            found = max(found, 2 * float(stdtr(min(df, 1e9), -apart / math.sqrt(total))))
    return found if any(variance > 0 for variance, _ in parts) or apart > 0 else 1.0


def by_definition(
    errors: Errors, pairs: list[Pair], means: NDArray[np.float64], found: NDArray[np.float64]
) -> list[float]:
    """The p-value of each pair in one draw."""
    inside = [row for row, own in enumerate(errors.pooled) if own]
    squares, of = pooled([float(found[row]) for row in inside], [int(errors.df[row]) for row in inside])
    own: list[float | None] = []
    for row in errors.at:
        rest, left = max(squares - found[row], 0.0), max(of - errors.df[row], 1e-9)
        df = errors.df[row]
        stands = of <= df or larger(float(found[row]), df, rest, left) < 2 / (df + 2)
        own.append(float(found[row] / df) if stands else None)
    p = []
    for pair in pairs:
        parts, shared = [], 0.0
        for row in pair:
            variance = own[row]
            if variance is None:
                shared += squares / of / float(errors.n[row])
            else:
                parts.append((variance / float(errors.n[row]), float(errors.df[errors.at[row]])))
        i, j = pair
        images = errors.images[i, i] + errors.images[j, j] - 2 * errors.images[i, j]
        parts += [(shared, float(of)), (max(float(images), 0.0), math.inf)]
        p.append(p_of(abs(float(means[i] - means[j])), parts))
    return p


def flat(row: Scores) -> Scores:
    return Scores(row.values, np.repeat(row.values[:, None], row.resampled.shape[1], axis=1))


def alike(*seeds: int) -> list[Scores]:
    """Rows of so many seeds, the first of three times the spread, the last two without images."""
    rows = next(worlds(Point("photographs", max(seeds), 3), 1))
    cut = [Scores(row.values[:n], row.resampled[:n]) for row, n in zip(rows, seeds, strict=True)]
    return [*cut[:4], *map(flat, cut[4:])]


@pytest.mark.parametrize(
    ("rows", "pairs"),
    [
        (alike(3, 3, 3, 3, 3, 3), PAIRS),
        (alike(3, 5, 4, 3, 10, 6), PAIRS),
        (alike(4, 3, 8, 3, 3, 5), TWINS),
        ([*map(flat, alike(3, 3, 3, 3, 3, 3))], PAIRS),
    ],
    ids=["three seeds", "unequal", "one in common", "no images"],
)
@pytest.mark.parametrize("look", [1, 1 << 17], ids=["pair by pair", "at once"])
def test_the_level_is_that_of_its_definition(
    rows: list[Scores], pairs: list[Pair], look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, _ = errors_of(rows, [row.values for row in rows])
    drawn = draw(errors, root(errors.images), DRAWS, np.random.default_rng(0))
    expected = sorted(min(by_definition(errors, pairs, *one)) for one in zip(*drawn, strict=True))
    monkeypatch.setattr(families, "LOOK", look)
    found = smallest(errors, pairs, DRAWS)
    np.testing.assert_allclose(found[:LOOKED_AT], np.minimum(expected, ERROR)[:LOOKED_AT], rtol=1e-9)
    assert (found >= np.minimum(expected, ERROR) * (1 - 1e-9)).all()
    assert common_level(errors, pairs, DRAWS) == pytest.approx(min(expected[49], ERROR), rel=1e-9)


def test_p_values_are_those_of_their_definition() -> None:
    rows = alike(3, 5, 4, 3, 10, 6)
    errors, _ = errors_of(rows, [row.values for row in rows])
    means, found = draw(errors, root(errors.images), 50, np.random.default_rng(1))
    expected = np.array([by_definition(errors, PAIRS, *one) for one in zip(3 * means, found, strict=True)])
    own = p_values(errors, PAIRS, 3 * means, found)
    assert 100 < (expected < ERROR).sum() < expected.size
    np.testing.assert_allclose(own, np.where(expected <= ERROR, expected, 1.0), rtol=1e-9)


def test_rows_without_any_spread_differ_or_do_not() -> None:
    level = [Scores(np.full(3, value), np.full((3, 10), value)) for value in (0.5, 0.5, 0.6)]
    found = compare(level, all_pairs(3), [row.values for row in level])
    assert found.p.tolist() == [1.0, 0.0, 0.0]


def test_a_family_without_pairs_says_nothing() -> None:
    assert compare(alike(3, 3, 3, 3, 3, 3)[:1], [], []).separated.tolist() == []


def test_families_beside_each_other_are_compared_as_alone() -> None:
    each = [(alike(*seeds), pairs) for seeds in ((3,) * 6, (5,) * 6, (3, 4) * 3) for pairs in (PAIRS, TWINS)]
    asked = [(rows, pairs, [row.values for row in rows]) for rows, pairs in each]
    together = families.compare_each(asked)
    for family, found in zip(asked, together, strict=True):
        alone = compare(*family)
        assert (found.level, found.p.tolist()) == (alone.level, alone.p.tolist())
    assert len({found.level for found in together}) > 3
