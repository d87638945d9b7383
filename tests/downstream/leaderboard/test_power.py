"""Seeds and differences of a plan, against the power of known tests."""

from __future__ import annotations

import re

import numpy as np
import pytest
from made_board import benchmark
from omegaconf import OmegaConf
from scipy import stats

from downstream.leaderboard.families import all_pairs
from downstream.leaderboard.power import MOST_SEEDS, Spread, difference_for, power, seeds_for, spread_of
from downstream.leaderboard.statistics import Scores
from downstream.leaderboard.tables import build
from downstream.leaderboard.variances import Pooled
from pretextbench import seeds
from pretextbench.schema import Planning
from pretextbench.seeds import show_seeds, spreads


def students(difference: float, deviation: float, n: int) -> float:
    """How often Student's test of two samples of n tells them apart."""
    df, shift = 2 * n - 2, difference / deviation / np.sqrt(2 / n)
    edge = stats.t.ppf(0.975, df)
    return float(stats.nct.sf(edge, df, shift) + stats.nct.cdf(-edge, df, shift))


@pytest.mark.parametrize("difference", [0.0, 0.02, 0.03, 0.05])
def test_two_rows_of_many_seeds_are_told_apart_as_by_students_test(difference: float) -> None:
    found = power(Spread(0.03, 18, 0.0, 2), 20)(difference)
    assert found == pytest.approx(students(difference, 0.03, 20), abs=0.035)


def test_images_alone_leave_open_what_no_seed_closes() -> None:
    spread = Spread(0.0, 18, 0.01, 2)
    wished = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.01
    for n in (3, 50):
        assert difference_for(spread, n, 0.8) == pytest.approx(wished, rel=0.05)
    assert seeds_for(spread, 1.1 * wished, 0.8) == 3
    assert seeds_for(spread, 0.9 * wished, 0.8) is None
    assert seeds_for(Spread(0.5, 18, 0.0, 2), 0.1, 0.8) is None  # more than MOST_SEEDS
    assert students(0.1, 0.5, MOST_SEEDS) < 0.8


def test_seeds_and_differences_are_the_least_that_suffice() -> None:
    spread = Spread(0.02, 18, 0.005, 6)
    few = seeds_for(spread, 0.04, 0.8)
    assert few is not None
    assert power(spread, few)(0.04) >= 0.8 > power(spread, few - 1)(0.04)
    least = difference_for(spread, few, 0.8)
    assert least <= 0.04
    assert power(spread, few)(least) >= 0.8 > power(spread, few)(0.95 * least)


def test_more_rows_ask_for_more_seeds() -> None:
    few, many = (seeds_for(Spread(0.02, 18, 0.0, rows), 0.03, 0.8) for rows in (2, 12))
    assert few is not None
    assert many is not None
    assert many > few


def test_spread_by_hand() -> None:
    """Images move the second row apart from both others, by twice a hundredth either way."""
    up = np.array([0.01, -0.01, 0.01, -0.01])
    rows = [Scores(np.full(2, 0.5), np.stack([0.5 + sign * up] * 2)) for sign in (1, -1, 1)]
    single = Scores(np.array([0.5]), 0.5 + 9 * up[None])
    found = spread_of([*rows, single], Pooled(0.0004, 7), 5)
    apart = 4 * 0.01**2 * 4 / 3
    assert found == (pytest.approx(0.02), 7, pytest.approx(np.sqrt(2 * apart / 3)), 5)
    assert len(all_pairs(3)) == 3


def test_one_row_of_several_seeds_does_not_say_what_images_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds.console, "width", 120)
    row = Scores(np.full(2, 0.5), np.full((2, 4), 0.5))
    assert spread_of([row], Pooled(0.0004, 1), 2).images is None
    board = build(benchmark(3, pretexts=("rotation",)))
    assert [spread.images for spread in spreads(board, None).values()] == [None] * len(board.columns)
    show_seeds(board, OmegaConf.structured(Planning(difference=2.0, seeds=[3])))
    shown = capsys.readouterr().out
    line = shown.splitlines()[1]
    assert re.search(r"df\) +– +2 +≥ \d+ +≥ [\d.]+$", line), line
    assert "record a second row of several seeds" in " ".join(shown.split())


def test_fewer_than_two_rows_or_three_seeds_are_refused() -> None:
    for spread, n in ((Spread(0.1, 3, 0.0, 1), 5), (Spread(0.1, 3, 0.0, 4), 2)):
        with pytest.raises(ValueError, match="at least 2 rows of 3 seeds are compared"):
            power(spread, n)


def test_a_column_is_planned_by_its_pooled_spread_and_its_rows() -> None:
    board = build(benchmark(3))
    found = spreads(board, None)
    assert set(found) == set(board.columns)
    for column, spread in found.items():
        pooled = board.pooled[column]
        assert pooled is not None
        assert (spread.seeds, spread.df, spread.rows) == (pytest.approx(pooled.variance**0.5), pooled.df, 3)
        assert spread.images > 0
    assert {spread.rows for spread in spreads(board, 9).values()} == {9}
    assert spreads(build(benchmark(1)), None) == {}
    with pytest.raises(ValueError, match="no row has two seeds"):
        show_seeds(build(benchmark(1)), OmegaConf.structured(Planning))


def test_what_is_printed_of_a_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds.console, "width", 120)
    board = build(benchmark(3, pretexts=("rotation", "colorization")))
    show_seeds(board, OmegaConf.structured(Planning(difference=2.0, seeds=[3, 7])))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["column", "seeds", "images", "rows", "for", "2", "n=3", "n=7"]
    for line, (column, spread) in zip(lines[1:], spreads(board, None).items(), strict=False):
        assert line.startswith(f"photos · {column.protocol} · {column.metric} ")
        wanted, *least = line.split()[-3:]
        assert int(wanted) == seeds_for(spread, 0.02, 0.8)
        assert least == [f"{100 * difference_for(spread, n, 0.8):.1f}" for n in (3, 7)]
        assert f"{100 * spread.seeds:.2g} (4 df)" in line
