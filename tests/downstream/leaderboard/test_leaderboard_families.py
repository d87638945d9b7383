"""Comparisons hold over their family: as scipy's procedures where those apply, by made truth elsewhere."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmarks import families as simulation
from benchmarks.families import PAIRS, RESULT, worlds
from benchmarks.intervals import EFFECTS, ROWS, Point
from downstream.leaderboard import families, statistics, variances
from downstream.leaderboard.families import (
    ERROR,
    Ranks,
    all_pairs,
    common_level,
    compare,
    errors_of,
    p_values,
    ranks,
)
from downstream.leaderboard.statistics import Scores, difference
from downstream.leaderboard.variances import pool


def flat(values: NDArray[np.float64]) -> Scores:
    """Scores that no image moves."""
    return Scores(values, np.repeat(values[:, None], 30, axis=1))


def samples(*sizes: int, seed: int = 0) -> list[NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    return [generator.normal(0.1 * i, 0.2, size) for i, size in enumerate(sizes)]


@pytest.fixture
def one_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row keeps its own variance: what Tukey's and Dunnett's procedures take for granted."""
    for module in (variances, families):
        monkeypatch.setattr(module, "stands_out", lambda own, df, *_: np.zeros(np.shape(own), dtype=bool))
    monkeypatch.setattr(variances, "OUTLYING", 0.0)


def critical(values: list[NDArray[np.float64]], pairs: list[tuple[int, int]]) -> float:
    """The difference in its standard errors that the level of a family asks for."""
    level = common_level(errors_of([flat(own) for own in values], values)[0], pairs)
    return float(stats.t.ppf(1 - level / 2, sum(len(own) - 1 for own in values)))


@pytest.mark.usefixtures("one_variance")
@pytest.mark.parametrize("sizes", [(5, 5, 5), (3,) * 8, (10,) * 5, (20, 20)])
def test_all_pairs_are_tukeys(sizes: tuple[int, ...]) -> None:
    values = samples(*sizes)
    oracle = stats.tukey_hsd(*values)
    interval = oracle.confidence_interval(0.95)
    variance = sum(float(((own - own.mean()) ** 2).sum()) for own in values) / (sum(sizes) - len(sizes))
    half = critical(values, all_pairs(len(values))) * np.sqrt(2 * variance / sizes[0])
    assert half == pytest.approx(float(interval.high[0, 1] - interval.low[0, 1]) / 2, rel=0.015)
    found = compare([flat(own) for own in values], all_pairs(len(values)), values)
    clear = [abs(oracle.pvalue[pair] - 0.05) > 0.005 for pair in all_pairs(len(values))]
    expected = [bool(oracle.pvalue[pair] < 0.05) for pair in all_pairs(len(values))]
    assert len(values) != 8 or any(expected)
    for own, oracles, sure in zip(found.separated, expected, clear, strict=True):
        assert own == oracles or not sure


@pytest.mark.usefixtures("one_variance")
def test_kramers_approximation_for_unequal_numbers_is_a_little_wider() -> None:
    values = samples(3, 4, 6, 12, 20)
    df = 45 - 5
    kramer = float(stats.studentized_range.ppf(0.95, 5, df)) / np.sqrt(2)
    assert 0.96 * kramer < critical(values, all_pairs(5)) < 1.01 * kramer


@pytest.mark.usefixtures("one_variance")
@pytest.mark.parametrize("sizes", [(4, 4, 4, 4), (6, 3, 3, 5, 5, 4)])
def test_pairs_with_one_row_in_common_are_dunnetts(sizes: tuple[int, ...]) -> None:
    control, *others = values = samples(*sizes)
    oracle = stats.dunnett(*others, control=control, random_state=0).confidence_interval(0.95)
    means = np.array([own.mean() for own in others]) - control.mean()
    variance = sum(float(((own - own.mean()) ** 2).sum()) for own in values) / (sum(sizes) - len(sizes))
    errors = np.sqrt(variance * (1 / sizes[0] + 1 / np.array(sizes[1:])))
    expected = (oracle.high - means) / errors
    found = critical(values, [(0, i) for i in range(1, len(values))])
    np.testing.assert_allclose(expected, found, rtol=0.015)


def test_images_alone_are_a_range_of_normal_variates_whatever_they_share() -> None:
    generator = np.random.default_rng(0)
    shared = generator.normal(0, 5, 4000)
    rows = []
    for _ in range(6):
        resampled = shared + generator.normal(size=4000)
        rows.append(Scores(np.zeros(3), np.stack([resampled] * 3)))
    level = common_level(errors_of(rows, [row.values for row in rows])[0], PAIRS)
    expected = float(stats.studentized_range.ppf(0.95, 6, np.inf)) / np.sqrt(2)
    assert stats.norm.isf(level / 2) == pytest.approx(expected, rel=0.015)


def test_a_pair_alone_is_held_to_its_own_interval() -> None:
    values = samples(20, 20, 20)
    found = compare([flat(own) for own in values[:2]], [(0, 1)], values)
    assert 0.045 < found.level <= ERROR


@pytest.mark.parametrize(("seeds", "step"), [(5, 1), (3, 4)])
def test_the_p_value_of_a_pair_is_that_of_its_interval(
    seeds: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with variances of their own and pooled ones, with images and without."""
    rows = next(worlds(Point("photographs", seeds, 6), 1))
    rows[3:] = [flat(row.values) for row in rows[3:]]
    rows = [
        Scores(row.values + level, row.resampled[:, :30])
        for row, level in zip(rows, range(0, 6 * step, step), strict=True)
    ]
    values = [row.values for row in rows]
    pooled = pool(values)
    found = compare(rows, PAIRS, values)
    below = 0
    for p, (i, j) in zip(found.p, PAIRS, strict=True):
        usual = difference(rows[i], rows[j], pooled)
        assert usual is not None
        assert (p < ERROR) == (0 not in usual)
        if p < ERROR:
            below += 1
            monkeypatch.setattr(statistics, "LEVEL", 1 - p)
            edge = difference(rows[i], rows[j], pooled)
            assert edge is not None
            assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-7)
            monkeypatch.undo()
    assert below >= 5


def test_more_rows_ask_for_more_of_a_difference() -> None:
    generator = np.random.default_rng(1)
    near = [generator.normal(level, 0.01, 5) for level in (0.5, 0.516)]
    others = [generator.normal(0.4 - 0.001 * i, 0.01, 5) for i in range(12)]
    alone = compare([flat(own) for own in near], [(0, 1)], near + others)
    among = compare([flat(own) for own in near + others], all_pairs(14), near + others)
    assert alone.p[0] == among.p[0]
    assert alone.separated[0]
    assert not among.separated[0]
    assert among.level < alone.level / 4


def test_some_of_the_seeds_of_a_row_have_a_variance_of_their_own() -> None:
    values = samples(6, 6, 6)
    part = flat(values[0][:4])
    errors, found = errors_of([part, flat(values[2])], values)
    assert errors.pooled.tolist() == [True, True, True, False]
    assert errors.df[errors.at].tolist() == [3, 5]
    squares = ((part.values - part.mean) ** 2).sum()
    assert found[0, errors.at[0]] == pytest.approx(float(squares))


def test_equal_rows_are_two_rows() -> None:
    values = samples(4)[0]
    errors, _ = errors_of([flat(values), flat(values)], [values, values, samples(4, seed=1)[0]])
    assert len(set(errors.at.tolist())) == 2


def test_ranks_by_hand() -> None:
    # The last is worse than both first ones; the second of them is not told from the third.
    separated = {(0, 3): True, (1, 3): True, (0, 2): True}
    found = ranks([0.9, 0.8, 0.5, 0.1], all_pairs(4), [separated.get(pair, False) for pair in all_pairs(4)])
    assert found == [Ranks(1, 2, 4), Ranks(1, 3, 4), Ranks(2, 4, 4), Ranks(3, 4, 4)]
    assert ranks([0.1, 0.9], [(0, 1)], [True]) == [Ranks(2, 2, 2), Ranks(1, 1, 2)]
    assert ranks([0.1, 0.9], [(0, 1)], [False]) == [Ranks(1, 2, 2)] * 2


def test_levels_are_the_same_at_every_call() -> None:
    values = samples(3, 3, 3, 3)
    rows = [flat(own) for own in values]
    assert compare(rows, all_pairs(4), values).level == compare(rows, all_pairs(4), values).level


def test_few_draws_say_the_same_where_they_are_taken_for_enough() -> None:
    apart = 0
    for seed in range(20):
        values = samples(4, 4, 4, 4, 4, seed=seed)
        rows = [flat(own) for own in values]
        errors, _ = errors_of(rows, values)
        found, whole = compare(rows, all_pairs(5), values), common_level(errors, all_pairs(5))
        assert found.separated.tolist() == (found.p < whole).tolist()
        apart += found.level != whole
    assert 3 < apart < 20


NOMINAL = (0.035, 0.065)
"""In how many columns any of six equal rows may be called different."""
SCALES = (0.85, 1.0, 1.2)


@cache
def wrong(point: Point, count: int = 120, errors_each: int = 300) -> dict[float, float]:
    """How often intervals as wide as those of made worlds, times each of `SCALES`, miss any true difference.

    Errors of means do not depend on the variances that are found, so each world is asked of many.
    """
    effects = EFFECTS[point.effects]
    spread = np.array([point.spread] + [1] * (ROWS - 1))
    deviation = np.sqrt(spread**2 / point.seeds + effects.own**2)
    made = np.random.default_rng(0).normal(0, deviation, (count, errors_each, ROWS))
    missed: dict[float, list[float]] = {scale: [] for scale in SCALES}
    for own, rows in zip(made, worlds(point, count), strict=True):
        errors, found = errors_of(rows, [row.values for row in rows])
        level = common_level(errors, PAIRS, 999)
        for scale in SCALES:
            p = p_values(errors, PAIRS, own / scale, np.repeat(found, errors_each, axis=0))
            missed[scale].append(float((p < level).any(axis=1).mean()))
    return {scale: float(np.mean(each)) for scale, each in missed.items()}


@pytest.mark.parametrize(
    "point",
    [
        Point("photographs", 3, 1),
        Point("photographs", 5, 3),
        Point("photographs", 10, 1),
        Point("scenes", 5, 1),
    ],
)
def test_a_column_is_without_error_as_often_as_it_says_and_other_widths_are_noticed(point: Point) -> None:
    low, high = NOMINAL
    found = wrong(point)
    assert low < found[1.0] < high
    assert found[0.85] > high
    assert found[1.2] < low


def test_the_recorded_simulation_is_complete_and_holds() -> None:
    record = json.loads(RESULT.read_text())
    assert record["settings"]["worlds"] == simulation.WORLDS >= 1500
    points = [Point(*(row[name] for name in Point._fields)) for row in record["points"]]
    assert points == list(simulation.POINTS)
    for point, row in zip(points, record["points"], strict=True):
        if point.seeds >= families.ENOUGH_SEEDS:
            for name in ("all pairs", "beside the best", "beside the twin", "ranks"):
                assert row["wrong"][name] < 0.065, (point, name)
            if point.seeds > families.ENOUGH_SEEDS:
                assert row["wrong"]["all pairs"] > 0.03, point
        assert row["wrong"]["each pair at 5 %"] > 0.065
