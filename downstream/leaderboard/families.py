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
from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

from downstream.leaderboard.statistics import LEVEL, NORMAL, Scores, image_covariance
from downstream.leaderboard.variances import pool, pools, seeds_of, squares, stands_out

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
BLOCK = 1 << 18
"""Pairs that are drawn at once."""
Pair = tuple[int, int]


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


def compare(rows: Sequence[Scores], pairs: Sequence[Pair], beside: Sequence[NDArray[np.float64]]) -> Compared:
    """Compare pairs of rows, paired by image, so that all that is said holds together.

    Args:
        rows: of two or more seeds and resamples each. pairs: of these, by place.
        beside: values of every row of the column, whose variance between seeds is pooled.
    """
    errors, found = errors_of(rows, beside)
    means = np.array([[row.mean for row in rows]])
    p = p_values(errors, pairs, means, found)[0]
    few = smallest(errors, pairs, FEWEST)
    around = SURE * math.sqrt(len(few) * ERROR * LEVEL)
    low, high = (few[int(ERROR * len(few) + off)] for off in (-around, around))
    doubt = (p < ERROR) & (p >= low) & (p <= high)
    return Compared(p, common_level(errors, pairs, limit=min(high, ERROR)) if doubt.any() else level_of(few))


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


def common_level(errors: Errors, pairs: Sequence[Pair], draws: int = DRAWS, limit: float = ERROR) -> float:
    """The level at which any of these pairs is called different in `ERROR` of draws without a difference.

    Args:
        limit: what it most likely lies below, by fewer draws; no p-value above it is computed then.
    """
    level = level_of(smallest(errors, pairs, draws, limit))
    return level if level < limit or limit == ERROR else common_level(errors, pairs, draws)


def level_of(least: NDArray[np.float64]) -> float:
    """Of D draws the k-th smallest p-value has k / (D + 1) below it."""
    return min(ERROR, float(least[int(ERROR * (len(least) + 1)) - 1]))


def smallest(errors: Errors, pairs: Sequence[Pair], draws: int, limit: float = ERROR) -> NDArray[np.float64]:
    """The smallest p-value of all pairs in each draw without a difference, in order; 1 above a limit."""
    generator = np.random.default_rng(0)
    count = min(draws, max(FEWEST, MOST // len(pairs)))
    step = max(1, BLOCK // len(pairs))
    ends, of_images = _ends(pairs), root(errors.images)
    found = [
        _least(_paired(errors, ends, *draw(errors, of_images, min(step, count - start), generator)), limit)
        for start in range(0, count, step)
    ]
    return np.sort(np.concatenate(found))


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
    paired = _paired(errors, _ends(pairs), means, found)
    p = np.ones(paired.apart.shape)
    at, k = np.nonzero(paired.normal > -float(ndtri(ERROR / 2)))
    p[at, k] = paired.p(at, k, np.full(len(p), ERROR))
    return p


def _ends(pairs: Sequence[Pair]) -> NDArray[np.int_]:
    return np.array(pairs, dtype=np.int_).reshape(-1, 2).T


class _Paired(NamedTuple):
    """Differences of K pairs of rows in D draws, and what their variance is made of.

    apart: (D, K). normal: the same in units of the root of all parts of the variance. ends: rows (2, K).
    of_own, of_pool: variance of a row's mean that is estimated from its seeds, or from the pool (D, R).
    df: of each row's own (R,). pool: degrees of freedom of the pool (D,). images: (K,).
    """

    apart: NDArray[np.float64]
    normal: NDArray[np.float64]
    ends: NDArray[np.int_]
    of_own: NDArray[np.float64]
    of_pool: NDArray[np.float64]
    df: NDArray[np.int_]
    pool: NDArray[np.float64]
    images: NDArray[np.float64]

    def p(self, at: NDArray[np.int_], k: NDArray[np.int_], limit: NDArray[np.float64]) -> NDArray[np.float64]:
        """The p-values of M pairs `k` in the draws `at` (M,), 1 above a limit (D,).

        None lies below a normal one of all parts.
        """
        i, j = self.ends[:, k]
        pool = self.of_pool[at, i] + self.of_pool[at, j]
        parts = np.stack([self.of_own[at, i], self.of_own[at, j], pool, self.images[k]])
        df = np.stack([self.df[i], self.df[j], self.pool[at], np.full(len(k), math.inf)])
        return _widest(self.apart[at, k], parts, df, limit[at])


def _paired(
    errors: Errors, ends: NDArray[np.int_], means: NDArray[np.float64], found: NDArray[np.float64]
) -> _Paired:
    first, second = ends
    df = errors.df[errors.at]
    pooled = pools(found[:, errors.pooled], errors.df[errors.pooled])
    of_row = found[:, errors.at]
    own = stands_out(of_row, df, pooled.variance[:, None], pooled.df[:, None])
    of_own = np.where(own, of_row / df / errors.n, 0.0)
    of_pool = np.where(own, 0.0, pooled.variance[:, None] / errors.n)
    spread = np.diag(errors.images)
    images = np.maximum(spread[first] + spread[second] - 2 * errors.images[first, second], 0.0)
    apart = np.abs(means[:, first] - means[:, second])
    of_rows = of_own + of_pool
    total = of_rows[:, first] + of_rows[:, second] + images
    normal = np.where(apart > 0, math.inf, 0.0)
    np.divide(apart, np.sqrt(total), out=normal, where=total > 0)
    return _Paired(apart, normal, ends, of_own, of_pool, df, pooled.df, images)


def _least(paired: _Paired, limit: float) -> NDArray[np.float64]:
    """The smallest p-value in each draw (D,), 1 above a limit.

    That of the pair which is furthest apart is at hand; no other is smaller whose normal one is not, since no
    part of a variance has more degrees of freedom than a normal one.
    """
    least = np.ones(len(paired.apart))
    furthest = paired.normal.argmax(axis=1)
    (draws,) = np.nonzero(paired.normal.max(axis=1) > -float(ndtri(limit / 2)))
    least[draws] = paired.p(draws, furthest[draws], np.full(len(least), limit))
    limits = np.minimum(least, limit)
    at, k = np.nonzero(paired.normal > -ndtri(limits / 2)[:, None])
    np.minimum.at(least, at, paired.p(at, k, limits))
    return least


CHOICES = tuple(c for c in product((True, False), repeat=4) if any(c[:3]) and not all(c[:3]))
"""Which parts of a variance are counted: own, own, pooled, images; no pair has the first three."""


def _widest(
    apart: NDArray[np.float64],
    parts: NDArray[np.float64],
    df: NDArray[np.float64],
    limit: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The largest p-value (M,) of any choice of the parts (4, M), each with its own df; 1 above a limit."""
    p = 2 * _tail(apart, parts, df)
    for choice in CHOICES:
        (open_,) = np.nonzero(p <= limit)
        chosen = np.ix_(np.array(choice), open_)
        p[open_] = np.maximum(p[open_], 2 * _tail(apart[open_], parts[chosen], df[chosen]))
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
    of = sorted(((*squares(values), values) for values in beside if len(values) > 1), key=lambda own: own[:2])
    every = [(own, df) for own, df, _ in of]
    values = [each for *_, each in of]
    free = set(range(len(of)))
    at = []
    for row in rows:
        own = squares(row.values)
        place = next((i for i in sorted(free) if every[i] == own), len(every))
        if place == len(every):
            every.append(own)
            values.append(row.values)
        free.discard(place)
        at.append(place)
    pooled = np.arange(len(every)) < len(of)
    chosen = [seeds_of(each, together) for each in values]
    errors = Errors(
        np.array([seeds.variance for seeds in chosen]),
        np.array([df for _, df in every]),
        pooled,
        np.array(at),
        np.array([row.n for row in rows]),
        image_covariance(rows),
    )
    return errors, np.array([[own for own, _ in every]])
