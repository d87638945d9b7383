"""Comparisons that hold together: of all rows of a column, or of each row of a column with its twin.

A column is read as a whole, and its best row is chosen by looking. So an error is any pair of rows that is
called different and is not, anywhere in the family, and the chance of one is held to `ERROR` for all pairs
together. Of the procedures that do so this is Tukey's, over all pairs (Kramer 1956 where rows differ in their
seeds), and Dunnett's (1955), over pairs with one row in common. Hsu's comparison with the best (1984) takes
less of a difference, but excludes a row from being the one best; of two rows that are equal it may say so of
either. "Below best" says more, and where all rows are equal the best and the worst differ as the range does.

The tables of Tukey and Dunnett know one variance. Here it has parts, of the seeds (pooled, or a row's own)
and of the images, which move rows together. So every pair keeps the p-value of its own interval, and the
level that it must fall below is found by drawing: rows without a difference, with the variances and degrees
of freedom that were found, each draw going through the same choice of variance and the same p-values as the
table did. The draws are the same at every call. `benchmarks/intervals.py` simulates what this holds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

from downstream.leaderboard.statistics import LEVEL, NORMAL, Scores, image_covariance
from downstream.leaderboard.variances import pool, pools, squares, stands_out, variances_of

ENOUGH_SEEDS = 3
"""From so many seeds on two rows may be called separated, or not."""
ERROR = 1 - LEVEL
"""Chance of any error in a family; no pair is held to a level above it."""
DRAWS, FEWEST = 10_000, 1000
"""Draws of a family's errors; fewer where those leave no doubt, or where there are many pairs."""
SURE = 3.3
"""Standard errors of the level found by few draws, within which a p-value leaves doubt."""
MOST = 500_000
"""Pairs in all draws together, from which on there are fewer draws."""
BLOCK, LOOK = 1 << 18, 1 << 17
"""Pairs of all draws that are drawn at once, and that are looked at at once."""
TINY = float(np.finfo(np.float64).tiny)
"""Stands for a variance of 0 where it divides."""
THREADS = 2
"""Families that are compared at once; numpy leaves the interpreter to the other meanwhile."""
Pair = tuple[int, int]
Family = tuple[Sequence[Scores], Sequence[Pair], Sequence[NDArray[np.float64]]]
"""What `compare` takes."""


class Errors(NamedTuple):
    """What the errors of R rows are drawn from.

    variance, df: between seeds, of each of the P rows of a column (P,). pooled: which of these a pool is made
    of (P,). at: which of these are the family's rows (R,). n: seeds (R,). images: covariance of their means
    over the test images (R, R).
    """

    variance: NDArray[np.float64]
    df: NDArray[np.int_]
    pooled: NDArray[np.bool_]
    at: NDArray[np.int_]
    n: NDArray[np.int_]
    images: NDArray[np.float64]


class Compared(NamedTuple):
    """Pairs of rows: the p-value of each by itself (K,), 1 where above `ERROR`, and the level for all."""

    p: NDArray[np.float64]
    level: float

    @property
    def separated(self) -> NDArray[np.bool_]:
        """Which pairs differ, with a chance of `ERROR` that any of them does not (K,)."""
        return np.asarray(self.p < self.level)


class Ranks(NamedTuple):
    """The ranks a row may have among `of`: behind those that are better, before those that are worse.

    Rows that nobody is better than share the rank 1, and so on; `low` is the shared rank.
    """

    low: int
    high: int
    of: int


def all_pairs(count: int) -> list[Pair]:
    """Every pair of so many rows."""
    return list(combinations(range(count), 2))


def compare_each(families: Iterable[Family]) -> list[Compared]:
    """Compare each of several families by itself."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda family: compare(*family), families))


def compare(rows: Sequence[Scores], pairs: Sequence[Pair], beside: Sequence[NDArray[np.float64]]) -> Compared:
    """Compare pairs of rows, paired by image, so that all that is said holds together.

    Args:
        rows: of two or more seeds and resamples each. pairs: of these, by place; may be none.
        beside: values of every row of the column, whose variance between seeds is pooled.
    """
    if not pairs:
        return Compared(np.ones(0), ERROR)
    errors, found = errors_of(rows, beside)
    means = np.array([[row.mean for row in rows]])
    p = p_values(errors, pairs, means, found)[0]
    few = smallest(errors, pairs, FEWEST)
    low, high = (few[at] for at in _around(len(few)))
    doubt = (p < ERROR) & (p >= low) & (p <= high)
    more = doubt.any() and draws_of(pairs) > len(few)
    return Compared(p, common_level(errors, pairs) if more else level_of(few))


def ranks(means: Sequence[float], pairs: Sequence[Pair], separated: Sequence[bool]) -> list[Ranks]:
    """The ranks of rows of which more is better, all at once (Al Mohamad et al. 2022, Biometrics 78).

    A row that is separated from a better one stands behind it, and from a worse one before it. All rows lie
    in their ranks with the confidence of the pairs.

    Args:
        pairs: all there are, by place; separated: whether each is.
    """
    better, worse = [0] * len(means), [0] * len(means)
    for (i, j), apart in zip(pairs, separated, strict=True):
        if apart:
            high, low = (i, j) if means[i] > means[j] else (j, i)
            worse[high] += 1
            better[low] += 1
    count = len(means)
    return [Ranks(1 + above, count - below, count) for above, below in zip(better, worse, strict=True)]


def common_level(errors: Errors, pairs: Sequence[Pair], draws: int = DRAWS) -> float:
    """The level at which any of these pairs is called different in `ERROR` of draws without a difference."""
    return level_of(smallest(errors, pairs, draws))


def level_of(least: NDArray[np.float64]) -> float:
    """Of D draws the k-th smallest p-value has k / (D + 1) below it."""
    return min(ERROR, float(least[int(ERROR * (len(least) + 1)) - 1]))


def draws_of(pairs: Sequence[Pair], most: int = DRAWS) -> int:
    """How many draws are made of so many pairs."""
    return min(most, max(FEWEST, MOST // len(pairs)))


def _around(draws: int) -> tuple[int, int]:
    """Between which places, of so many p-values in order, the level most likely lies."""
    off = SURE * math.sqrt(draws * ERROR * LEVEL)
    return int(ERROR * draws - off), int(ERROR * draws + off)


def smallest(errors: Errors, pairs: Sequence[Pair], draws: int) -> NDArray[np.float64]:
    """The smallest p-value of all pairs in each draw without a difference, in order, none above `ERROR`.

    Only those up to the last place where the level may lie are looked for; of the others there is an upper
    bound, which is not below these.
    """
    generator = np.random.default_rng(0)
    count, step = draws_of(pairs, draws), max(1, BLOCK // len(pairs))
    of_images, last = root(errors.images), _around(count)[1]
    sizes = (min(step, count - start) for start in range(0, count, step))
    drawn = zip(*(draw(errors, of_images, size, generator) for size in sizes), strict=True)
    paired = _paired(errors, pairs, *map(np.concatenate, drawn))
    least, step = np.full(count, ERROR), max(1, LOOK // count)
    for start in range(0, len(pairs), step):
        some = paired.of(slice(start, start + step))
        limits = np.minimum(least, np.partition(least, last)[last])
        k, at = some.near(limits)
        np.minimum.at(least, at, some.p(k, at, limits))
    return np.sort(least)


def root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """A matrix (R, R) that makes errors of this covariance from independent ones."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def draw(
    errors: Errors, of_images: NDArray[np.float64], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw errors of the family's means (count, R) and squares between the seeds of all rows (count, P).

    Args:
        of_images: `root` of the errors' covariance over images.
    """
    found = errors.variance * generator.chisquare(errors.df, (count, len(errors.df)))
    of_seeds = np.sqrt(errors.variance[errors.at] / errors.n)
    normal = generator.normal(size=(2, count, len(errors.at)))
    return normal[0] * of_seeds + normal[1] @ of_images.T, found


def p_values(
    errors: Errors, pairs: Sequence[Pair], means: NDArray[np.float64], found: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The p-value of each pair by itself, in each of D draws (D, K); 1 where it lies above `ERROR`.

    It is that of the difference's interval: a pair is below the level α where its interval of 1 − α lies
    clear of 0 (`statistics.half_width`).

    Args:
        means: of the family's rows (D, R). found: squares between the seeds of every row (D, P).
    """
    paired = _paired(errors, pairs, means, found)
    p, limits = np.ones((len(means), len(pairs))), np.full(len(means), ERROR)
    k, at = paired.near(limits)
    p[at, k] = paired.p(k, at, limits)
    return p


class _Paired(NamedTuple):
    """R rows in D draws, and the K pairs of them.

    means: of rows (R, D). variance: of each over its seeds (R, D). own: whether that is estimated from its
    own seeds and not from the pool (R, D). df: of its own (R,). pool: degrees of freedom of the pool (D,).
    ends: the rows of a pair (2, K). images: variance of its difference over the images (K,).
    """

    means: NDArray[np.float64]
    variance: NDArray[np.float64]
    own: NDArray[np.bool_]
    df: NDArray[np.int_]
    pool: NDArray[np.float64]
    ends: NDArray[np.int_]
    images: NDArray[np.float64]

    def of(self, pairs: slice) -> _Paired:
        """The same of some pairs."""
        return self._replace(ends=self.ends[:, pairs], images=self.images[pairs])

    def near(self, limits: NDArray[np.float64]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Which pairs in which draws may have a p-value below a limit (D,).

        No other has whose normal one is not, since no part of a variance has more degrees of freedom than a
        normal one.
        """
        first, second = self.ends
        squared = self.means[first]
        squared -= self.means[second]
        squared *= squared
        total = self.variance[first]
        total += self.variance[second]
        total += np.maximum(self.images, TINY)[:, None]
        with np.errstate(over="ignore"):
            squared /= total
        k, at = np.divmod(np.flatnonzero(squared > ndtri(limits / 2) ** 2), len(limits))
        return k, at

    def p(self, k: NDArray[np.int_], at: NDArray[np.int_], limit: NDArray[np.float64]) -> NDArray[np.float64]:
        """The p-values of M pairs `k` in the draws `at` (M,), 1 above a limit (D,)."""
        rows = self.ends[:, k]
        own, variance = self.own[rows, at], self.variance[rows, at]
        pool = np.where(own, 0.0, variance).sum(axis=0)
        parts = np.stack([*np.where(own, variance, 0.0), pool, self.images[k]])
        df = np.stack([*self.df[rows], self.pool[at], np.full(len(k), math.inf)])
        first, second = self.means[rows, at]
        return _widest(np.abs(first - second), parts, df, limit[at])


def _paired(
    errors: Errors, pairs: Sequence[Pair], means: NDArray[np.float64], found: NDArray[np.float64]
) -> _Paired:
    ends = first, second = np.array(pairs, dtype=np.int_).reshape(-1, 2).T
    df = errors.df[errors.at]
    pooled = pools(found[:, errors.pooled], errors.df[errors.pooled])
    of_row = found[:, errors.at]
    own = stands_out(of_row, df, pooled.variance[:, None], pooled.df[:, None])
    variance = np.where(own, of_row / df, pooled.variance[:, None]) / errors.n
    spread = np.diag(errors.images)
    images = np.maximum(spread[first] + spread[second] - 2 * errors.images[first, second], 0.0)
    of_rows = np.ascontiguousarray(means.T), np.ascontiguousarray(variance.T)
    return _Paired(*of_rows, own.T, df, pooled.df, ends, images)


CHOICES = np.array([chosen for chosen in product((True, False), repeat=4) if any(chosen[:3])])
"""Which parts of a variance are counted: own, own, pooled, images (14, 4)."""


def _widest(
    apart: NDArray[np.float64],
    parts: NDArray[np.float64],
    df: NDArray[np.float64],
    limit: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The largest p-value (M,) of any choice of the parts (4, M), each with its own df; 1 above a limit."""
    p = 2 * _tail(apart, parts, df)
    there, chosen = (parts > 0) & (p <= limit), CHOICES[..., None]
    choice, k = np.nonzero((chosen <= there).all(axis=1) & (chosen < there).any(axis=1))
    np.maximum.at(p, k, 2 * _tail(apart[k], parts[:, k] * CHOICES[choice].T, df[:, k]))
    return np.where(p <= limit, p, 1.0)


def _tail(
    apart: NDArray[np.float64], parts: NDArray[np.float64], df: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability beyond a difference, of Student's distribution with Satterthwaite's degrees of freedom."""
    total, spread = parts.sum(axis=0), (parts * parts / df).sum(axis=0)
    joint = np.full(len(total), NORMAL)
    np.divide(total * total, spread, out=joint, where=spread > 0)
    ratio = np.full(len(total), math.inf)
    np.divide(apart, np.sqrt(total), out=ratio, where=total > 0)
    return np.asarray(stdtr(np.minimum(joint, NORMAL), -ratio))


def errors_of(
    rows: Sequence[Scores], beside: Sequence[NDArray[np.float64]]
) -> tuple[Errors, NDArray[np.float64]]:
    """What these rows' errors are drawn from, and the squares that were found (1, P).

    A row that is none of those beside (some of the seeds of one) has squares of its own, outside of the pool.
    """
    together = pool(beside)
    every = sorted(squares(values) for values in beside if len(values) > 1)
    inside = len(every)
    free: dict[tuple[float, int], list[int]] = defaultdict(list)
    for place, own in enumerate(every):
        free[own].append(place)
    at = []
    for row in rows:
        own = squares(row.values)
        if not free[own]:
            free[own].append(len(every))
            every.append(own)
        at.append(free[own].pop(0))
    found, df = np.array([own for own, _ in every]), np.array([df for _, df in every])
    errors = Errors(
        variances_of(found, df, together),
        df,
        np.arange(len(every)) < inside,
        np.array(at),
        np.array([row.n for row in rows]),
        image_covariance(rows),
    )
    return errors, found[None]
