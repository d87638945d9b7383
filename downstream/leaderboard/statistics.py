"""Intervals of scores and of their differences: over test images alone, or over seeds and images together.

One run says nothing of what another seed would have given, so a single-seed interval is over the test images
only and never stands against an interval over seeds. From two seeds on there is one estimator: what a score
owes to its seed, to the images, and to both together are told apart, and each counts once. The variance
between seeds is pooled over the rows of one protocol, but for rows whose own stands out: those keep their own
(Welch 1947). `benchmarks/intervals.py` simulates what the intervals hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from downstream.leaderboard.variances import Between, Pooled, seeds_of

LEVEL = 0.95
PRECISE = 1e-12
"""Of the ends of a share's interval, relative to them where they are large."""
NORMAL = 1e9
"""So many degrees of freedom stand for infinitely many, of which the quantile takes none."""


class Kind(Enum):
    """What an interval is over."""

    IMAGES = "images"
    SEEDS = "seeds+images"


class Interval(NamedTuple):
    """An interval of `LEVEL`.

    `df` counts the degrees of freedom of its variance between seeds, if any, and `between` says whose that
    is; where several were used, `df` is the fewest and one row's own is enough for `OWN`.
    """

    low: float
    high: float
    kind: Kind
    df: float | None = None
    between: Between | None = None

    @property
    def half(self) -> float:
        """Half its width."""
        return (self.high - self.low) / 2

    @property
    def zero_width(self) -> bool:
        """Whether it has no width, and so says nothing."""
        return not self.high > self.low

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Scores:
    """One row under one protocol: values (S,), one a pretraining seed, and resampled (S, B).

    Column b of `resampled` is the same resample of test images in every row of the protocol.
    """

    values: NDArray[np.float64]
    resampled: NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or len(self.values) == 0:
            raise ValueError(f"values are (S,) with at least one seed, got {self.values.shape}")
        if self.resampled.ndim != 2 or len(self.resampled) != len(self.values):
            raise ValueError(f"resampled is (S, B) with S = {len(self.values)}, got {self.resampled.shape}")

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(self.values.mean())

    @cached_property
    def centre(self) -> NDArray[np.float64]:
        """Mean over seeds of each resample (B,)."""
        return np.asarray(self.resampled.mean(axis=0))

    @cached_property
    def own_part(self) -> float:
        """Of the variance of `centre`, what each of the seeds adds that images move in a way of its own."""
        of_seeds = (self.resampled - self.centre).var(axis=1, ddof=1)
        return float(of_seeds.mean()) / (self.n - 1)

    def first(self, width: int) -> Scores:
        """The same with the first resamples alone."""
        return Scores(self.values, self.resampled[:, :width])


def interval(row: Scores, pooled: Pooled | None) -> Interval | None:
    """The interval of a row's mean; None where nothing was resampled.

    One seed: over test images only. Several: over seeds and images.

    Args:
        pooled: of the rows of the protocol; None where there is nothing to pool.
    """
    return contrast([row], [1.0], pooled)


def difference(row: Scores, other: Scores, pooled: Pooled | None) -> Interval | None:
    """The interval of row − other, paired by image; None for one seed against several."""
    return contrast([row, other], [1.0, -1.0], pooled)


def contrast(rows: Sequence[Scores], weights: Sequence[float], pooled: Pooled | None) -> Interval | None:
    """The interval of Σ wᵢ · mean of row i; None for one seed against several, or less than two resamples."""
    return _contrasts(rows, pooled)(weights) if comparable(rows) else None


def comparable(rows: Sequence[Scores]) -> bool:
    """Whether all have one seed or all have several, and images were resampled."""
    return len({row.n == 1 for row in rows}) == 1 and width_of(*rows) >= 2


def _contrasts(rows: Sequence[Scores], pooled: Pooled | None) -> Callable[[Sequence[float]], Interval]:
    """The interval of Σ wᵢ · mean of row i, as a function of the weights."""
    if rows[0].n == 1:
        resampled = np.stack([row.resampled[0, : width_of(*rows)] for row in rows])
        values = np.array([row.mean for row in rows])
        return lambda weights: _about(float((w := np.array(weights)) @ values), w @ resampled)
    seeds = [seeds_of(row.values, pooled) for row in rows]
    means = np.array([row.mean for row in rows])
    images = image_covariance(rows)
    own = [i for i, of in enumerate(seeds) if of.between is Between.OWN]
    shared = [i for i, of in enumerate(seeds) if of.between is Between.POOLED]
    of_means = np.array([of.variance / row.n for of, row in zip(seeds, rows, strict=True)])
    df = [float(seeds[i].df) for i in own] + [float(seeds[i].df) for i in shared[:1]] + [math.inf]

    def made(weights: Sequence[float]) -> Interval:
        w = np.asarray(weights, dtype=np.float64)
        of_seeds = w * w * of_means
        parts = of_seeds[own].tolist()
        if shared:  # one estimate, and so one part
            parts.append(float(of_seeds[shared].sum()))
        half = half_width([*parts, max(float(w @ images @ w), 0.0)], df)
        centre = float(w @ means)
        between = Between.OWN if own else Between.POOLED
        return Interval(centre - half, centre + half, Kind.SEEDS, min(df), between)

    return made


def half_width(variances: Sequence[float], df: Sequence[float]) -> float:
    """Half of Student's interval of a sum whose variance has independent parts, each with its own df.

    Degrees of freedom are after Satterthwaite (1946), whose interval can become narrower by one more part:
    2 degrees and infinitely many are together taken for many more than 2. It then holds too seldom (.88 for
    .95). So the widest counts that any choice of the parts gives.
    """
    v = np.asarray(variances, dtype=np.float64)
    chosen, over = _choices(tuple(df))
    total, spread = chosen @ v, over @ (v * v)
    joint = np.full(len(total), NORMAL)
    np.divide(total * total, spread, out=joint, where=spread > 0)
    return float((stdtrit(np.minimum(joint, NORMAL), (1 + LEVEL) / 2) * np.sqrt(total)).max())


@cache
def _choices(df: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All choices of some of the parts, one a line, and the same over their degrees of freedom."""
    chosen = np.array(list(product((0.0, 1.0), repeat=len(df))))[1:]
    return chosen, chosen / np.asarray(df, dtype=np.float64)


class Share(NamedTuple):
    """Share of the gap from random to supervised that a row covers: 0 random, 1 supervised.

    Both are None where the interval of the gap itself does not lie above 0: a share of noise says nothing.
    """

    value: float | None
    interval: Interval | None


def gap_share(row: Scores, random: Scores, supervised: Scores, pooled: Pooled | None) -> Share:
    """Share of the gap from `random` to `supervised` that `row` covers.

    The interval has those shares θ for which row − random − θ (supervised − random) may be 0 (Fieller 1954).
    It is finite where the gap's own interval lies above 0, and need not be symmetric.
    """
    rows = [row, random, supervised]
    if not comparable(rows):
        return Share(None, None)
    made = _contrasts(rows, pooled)
    if made([0.0, -1.0, 1.0]).low <= 0:
        return Share(None, None)
    value = (row.mean - random.mean) / (supervised.mean - random.mean)

    @cache
    def left(share: float) -> Interval:
        return made([1.0, share - 1.0, -share])

    ends = (_falls(lambda share: left(share).low, value), _falls(lambda share: left(share).high, value))
    return Share(value, left(value)._replace(low=ends[0], high=ends[1]))


def _falls(function: Callable[[float], float], near: float) -> float:
    """Where a function that falls from above 0 to below it, over the whole line, passes 0.

    Bracketed, then by regula falsi with the Illinois rule (an end that stays twice counts half) and a step to
    the middle where that does not help. A step that would stay at an end, where the function is 0 but for
    rounding, goes past it by half of what is asked for. `scipy.optimize` has better ones, and takes as long
    to import as a table to make.
    """
    low = high = near
    above = below = function(near)
    step = 1.0
    while above < 0:
        low, step = low - step, 2 * step
        above = function(low)
    while below > 0:
        high, step = high + step, 2 * step
        below = function(high)
    stayed = 0  # steps that the upper end stayed in; below 0 the lower
    while high - low > (enough := PRECISE * max(1.0, abs(low), abs(high))):
        at = low + (high - low) * above / (above - below)
        if abs(stayed) > 2:
            at, stayed = (low + high) / 2, 0
        elif not low < at < high:  # where that does not help, the next goes to the middle
            at, stayed = (low + enough / 2, 2) if at <= low else (high - enough / 2, -2)
        value = function(at)
        if value == 0:
            return at
        if value > 0:
            low, above, stayed = at, value, max(stayed, 0) + 1
            below /= 1 + (stayed > 1)
        else:
            high, below, stayed = at, value, min(stayed, 0) - 1
            above /= 1 + (stayed < -1)
    return (low + high) / 2


def image_covariance(rows: Sequence[Scores]) -> NDArray[np.float64]:
    """Covariance (R, R), over image resamples, of what the seeds of each row share.

    Images move each seed's score in a way of its own too. That part is in the variance between seeds
    already, so it is taken out here; both parts are read off the resamples.
    """
    width = width_of(*rows)
    cut = [row if row.resampled.shape[1] == width else row.first(width) for row in rows]
    centres = np.stack([row.centre for row in cut])
    centres -= centres.mean(axis=1, keepdims=True)
    shared = centres @ centres.T / (width - 1)
    return np.asarray(shared - np.diag([row.own_part for row in cut]))


def width_of(*rows: Scores) -> int:
    """Number of resamples that all rows have; they are the same ones, from the first on."""
    return min(int(row.resampled.shape[1]) for row in rows)


def _about(value: float, resampled: NDArray[np.float64]) -> Interval:
    """The percentiles of resamples that are moved to have the value as their median.

    A resample has images twice, by which precision and clusters score higher than on all images: unmoved, an
    interval may lie beside its own value. With several seeds, too, resamples say how far, not where.
    """
    ordered = np.sort(resampled)
    moved = value - _percentile(ordered, 0.5)
    low, high = (_percentile(ordered, share) + moved for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(low, high, Kind.IMAGES)


def _percentile(ordered: NDArray[np.float64], share: float) -> float:
    """Of B draws the k-th smallest has k / (B + 1) below it, not (k − 1) / (B − 1) as is usual."""
    last = len(ordered) - 1
    place = min(max(share * (last + 2) - 1, 0.0), float(last))
    below = min(int(place), last - 1)
    least, next_ = float(ordered[below]), float(ordered[below + 1])
    return least + (place - below) * (next_ - least)
