"""How many seeds a difference takes, and which difference so many seeds show, by the spread of a column.

A column of rows is made up that have the spread of the recorded ones and n seeds each, all without a
difference but for two; they are compared as tables compare (`families`), and how often those two are told
apart is counted. The same draws serve every n and every difference, so that what is found rises with both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from downstream.leaderboard.families import (
    ENOUGH_SEEDS,
    Errors,
    all_pairs,
    common_level,
    draw,
    p_values,
    root,
)
from downstream.leaderboard.statistics import Scores, image_covariance, width_of
from downstream.leaderboard.variances import Pooled

DRAWS = 2000
MOST_SEEDS = 200
"""What more seeds than these would show is not asked for."""


class Spread(NamedTuple):
    """Standard deviations in a column, in its metric's unit.

    seeds: of a row between its seeds, with df degrees of freedom. images: of the difference of two rows over
    the test images, which no number of seeds makes smaller; None where no two rows of several seeds say it,
    which is reckoned with as none. rows: how many are compared.
    """

    seeds: float
    df: int
    images: float | None
    rows: int


def spread_of(rows: Sequence[Scores], pooled: Pooled, compared: int) -> Spread:
    """The spread of recorded rows of several seeds; of differences, the root of the mean square.

    Args:
        rows: of one column, those with several seeds and resamples. compared: how many rows are to be.
    """
    rows = [row for row in rows if row.n > 1 and row.resampled.shape[1] >= 2]
    images = None
    if len(rows) > 1 and width_of(*rows) >= 2:
        of = image_covariance(rows)
        between = [max(of[i, i] + of[j, j] - 2 * of[i, j], 0.0) for i, j in all_pairs(len(rows))]
        images = math.sqrt(float(np.mean(between)))
    return Spread(math.sqrt(pooled.variance), pooled.df, images, compared)


@cache
def power(spread: Spread, seeds: int) -> Callable[[float], float]:
    """How often two rows that differ by so much are told apart, of rows of so many seeds each.

    Raises:
        ValueError: too few seeds or rows to compare any.
    """
    if seeds < ENOUGH_SEEDS or spread.rows < 2:
        raise ValueError(
            f"at least 2 rows of {ENOUGH_SEEDS} seeds are compared, not {spread.rows} of {seeds}"
        )
    count = spread.rows
    errors = Errors(
        np.full(count, spread.seeds**2),
        np.full(count, seeds - 1),
        np.ones(count, dtype=np.bool_),
        np.arange(count),
        np.full(count, seeds),
        np.eye(count) * (spread.images or 0.0) ** 2 / 2,
    )
    level = common_level(errors, all_pairs(count), DRAWS)
    means, found = draw(errors, root(errors.images), DRAWS, np.random.default_rng(1))

    def told_apart(difference: float) -> float:
        moved = means + difference * (np.arange(count) == 0)
        return float((p_values(errors, [(0, 1)], moved, found)[:, 0] < level).mean())

    return told_apart


def seeds_for(spread: Spread, difference: float, wished: float) -> int | None:
    """The fewest seeds a row with which two rows that differ by so much are told apart as often as wished.

    None where `MOST_SEEDS` do not suffice: what the test images leave open, no seed closes.
    """
    low, high = ENOUGH_SEEDS - 1, ENOUGH_SEEDS
    while power(spread, high)(difference) < wished:
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(spread, middle)(difference) >= wished else (middle, high)
    return high


def difference_for(spread: Spread, seeds: int, wished: float) -> float:
    """The least difference by which two rows of so many seeds are told apart as often as wished."""
    told_apart = power(spread, seeds)
    scale = math.hypot(spread.seeds * math.sqrt(2 / seeds), spread.images or 0.0)
    if scale == 0:
        return 0.0
    low, high = 0.0, scale
    while told_apart(high) < wished:
        low, high = high, 2 * high
    while high - low > 5e-3 * scale:
        middle = (low + high) / 2
        low, high = (low, middle) if told_apart(middle) >= wished else (middle, high)
    return high
