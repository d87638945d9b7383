"""Mean ranks over data sets: Friedman's test and Nemenyi's critical difference, as of Demšar (2006, JMLR 7).

Here the data sets are the sample: what is asked is how rows compare on a further one. Labels of one image
set, or of parts of one, are no two draws of that, and below `ENOUGH_SETS` independent ones nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, ndtr

ENOUGH_SETS = 6
"""From so many independent data sets on mean ranks are shown and compared."""
ERROR = 0.05


class MeanRanks(NamedTuple):
    """Ranks of k rows on N data sets.

    means: over data sets (k,), 1 the best. chi2: Friedman's statistic, corrected for ties. f: Iman and
    Davenport's (1980) of it, with k − 1 and (k − 1)(N − 1) degrees of freedom. p: of f. difference: rows
    whose mean ranks differ by no more are not told apart (Nemenyi 1963, 5 % for all pairs).
    """

    means: NDArray[np.float64]
    sets: int
    chi2: float
    f: float
    p: float
    difference: float


def mean_ranks(ranked: NDArray[np.float64]) -> MeanRanks:
    """Friedman's test of ranks within data sets (N, k), equal ones sharing the mean of theirs."""
    sets, rows = ranked.shape
    middle = (rows + 1) / 2
    spread = float(((ranked - middle) ** 2).sum())
    means = ranked.mean(axis=0)
    chi2 = (rows - 1) * sets**2 * float(((means - middle) ** 2).sum()) / spread if spread > 0 else 0.0
    left = sets * (rows - 1) - chi2
    f = (sets - 1) * chi2 / left if left > 1e-9 else math.inf
    p = float(fdtrc(rows - 1, (rows - 1) * (sets - 1), f))
    return MeanRanks(means, sets, chi2, f, p, critical_difference(rows, sets))


def critical_difference(rows: int, sets: int) -> float:
    """Nemenyi's: what mean ranks of equal rows differ by, the largest from the least, in 5 % of cases."""
    return range_quantile(rows) * math.sqrt(rows * (rows + 1) / (12 * sets))


def range_quantile(count: int) -> float:
    """The range of so many standard normal variates that is exceeded in `ERROR` of all cases.

    `scipy.stats.studentized_range` has it for infinitely many degrees of freedom, and is slow to import.
    """
    z = np.linspace(-9.0, 9.0, 3601)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])

    def beyond(width: float) -> float:
        return 1 - count * float(density @ (ndtr(z + width) - ndtr(z)) ** (count - 1))

    low, high = 0.0, 20.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > ERROR else (low, middle)
    return (low + high) / 2


def cliques(means: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """The largest sets of rows, by place and best first, that no pair in them can be told apart in.

    Sets of one row are left out, and those within another.
    """
    order = sorted(range(len(means)), key=lambda i: means[i])
    found: list[tuple[int, ...]] = []
    for start, first in enumerate(order):
        own = tuple(i for i in order[start:] if means[i] - means[first] <= difference)
        if len(own) > 1 and not (found and set(own) <= set(found[-1])):
            found.append(own)
    return found


def bars(ranks: MeanRanks) -> list[tuple[float, float]]:
    """The best and the worst mean rank of each set of rows that cannot be told apart.

    Where Friedman's test finds no difference at all, that is one bar over all rows.
    """
    means = ranks.means.tolist()
    if ranks.p > ERROR:
        return [(min(means), max(means))]
    return [(means[own[0]], means[own[-1]]) for own in cliques(means, ranks.difference)]
