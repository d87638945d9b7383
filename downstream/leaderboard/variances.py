"""The variance between seeds of a row: that of all rows of a protocol, or its own where that stands out.

Everything is said for many draws at once, since families of comparisons draw all variances anew and choose
again (`families`); a table is one draw.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

OUTLYING = 0.05
"""Level, over all rows of a protocol, at which the largest variance between seeds is left out of the pool."""


class Between(Enum):
    """Whose variance between seeds an interval rests on."""

    POOLED = "pooled"
    OWN = "own"


class Pooled(NamedTuple):
    """Variance between seeds of a row, estimated from the rows of a protocol, and degrees of freedom.

    `outside` rows are not in it: their variance lay above that of the others.
    """

    variance: float
    df: int
    outside: int = 0


class Pools(NamedTuple):
    """The same of D draws: variance (D,), degrees of freedom (D,), and how many rows are in it (D,)."""

    variance: NDArray[np.float64]
    df: NDArray[np.float64]
    inside: NDArray[np.int_]


class Seeds(NamedTuple):
    """Variance between the seeds of a row, that of one seed, with its degrees of freedom."""

    variance: float
    df: int
    between: Between


def squares(values: NDArray[np.float64]) -> tuple[float, int]:
    """Sum of squares around the mean, and degrees of freedom."""
    apart = values - values.sum() / len(values)
    return float(apart @ apart), len(values) - 1


def pool(rows: Iterable[NDArray[np.float64]]) -> Pooled | None:
    """Pool the variance between seeds, as `pools` does; None where no row has two seeds."""
    found = [squares(values) for values in rows if len(values) > 1]
    if not found:
        return None
    of = pools(np.array([[own for own, _ in found]]), np.array([df for _, df in found]))
    return Pooled(float(of.variance[0]), int(of.df[0]), len(found) - int(of.inside[0]))


def pools(of: NDArray[np.float64], df: NDArray[np.int_]) -> Pools:
    """Pool the variance between seeds of P rows in D draws: Σ squares / Σ df.

    The row of the largest variance is left out, and then the next, while an F test against all the others
    rejects it at `OUTLYING` over the number of rows (Cochran 1941): it shall not widen their intervals.

    Args:
        of: sums of squares (D, P). df: their degrees of freedom (P,), at least 1.
    """
    kept, ratios = of.copy(), of / df
    total, of_all = kept.sum(axis=1), np.full(len(of), float(df.sum()))
    inside = np.full(len(of), of.shape[1])
    open_ = np.arange(len(of))
    for last in range(of.shape[1] - 1, 1, -1):
        at = open_, ratios[open_].argmax(axis=1)
        own, own_df = kept[at], df[at[1]]
        kept[at], ratios[at] = 0.0, -np.inf
        # Summed anew: what is left of a difference from a much larger row is rounding.
        rest, rest_df = kept[open_].sum(axis=1), of_all[open_] - own_df
        stands = excess((own, own_df), (rest, rest_df)) < OUTLYING / (last + 1)
        open_ = open_[stands]
        if not len(open_):
            break
        total[open_], of_all[open_], inside[open_] = rest[stands], rest_df[stands], last
    return Pools(total / of_all, of_all, inside)


def seeds_of(values: NDArray[np.float64], pooled: Pooled | None) -> Seeds:
    """The variance between the seeds of a row of two or more: the pooled one, or its own if it stands out."""
    own, df = squares(values)
    if pooled is None or _stands_out(own, df, pooled.variance, pooled.df):
        return Seeds(own / df, df, Between.OWN)
    return Seeds(pooled.variance, pooled.df, Between.POOLED)


def variances_of(
    own: NDArray[np.float64], df: NDArray[np.int_], pooled: Pooled | None
) -> NDArray[np.float64]:
    """What `seeds_of` takes for the variance of each of P rows (P,), by squares and degrees of freedom."""
    if pooled is None:
        return own / df
    alone = stands_out(own, df, np.array(pooled.variance), pooled.df)
    return np.where(alone, own / df, pooled.variance)


@lru_cache(maxsize=1 << 16)
def _stands_out(own: float, df: int, variance: float, of: int) -> bool:
    """`stands_out` of one row, which each of its intervals asks."""
    return bool(stands_out(np.array(own), np.array(df), np.array(variance), of))


def stands_out(
    own: NDArray[np.float64],
    df: NDArray[np.int_],
    variance: NDArray[np.float64],
    of: NDArray[np.float64] | int,
) -> NDArray[np.bool_]:
    """Whether rows keep their own variance beside a pool's; all arguments broadcast.

    They do where an F test of their own against the rest of the pool rejects at 2 / (n + 1). Three seeds show
    little of a variance: of rows with three times the spread of the others one in three passes at the usual
    level, with an interval that then holds six times in ten. Taking a row's own in vain costs width alone,
    hence a level so high; with many seeds the test sees more, and the level falls.

    Args:
        own, df: squares of the rows, and their degrees of freedom. variance, of: of the pool, and its own.
    """
    # A row that was left out of the pool has more than its share of it: it is rejected all the more.
    rest = np.maximum(variance * of - own, 0.0), np.maximum(of - df, 1e-9)
    return np.asarray((of <= df) | (excess((own, df), rest) < 2 / (df + 2)))


def excess(
    own: tuple[NDArray[np.float64], NDArray[np.float64] | NDArray[np.int_]],
    rest: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Probability of so large a variance beside that of the rest, were both the same: squares, df of each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = fdtrc(own[1], rest[1], (own[0] / own[1]) / (rest[0] / rest[1]))
    return np.where(rest[0] > 0, found, np.where(own[0] > 0, 0.0, 1.0))
