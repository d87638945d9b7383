"""Intervals and comparisons of scores: over test images alone, or over seeds and images together.

One run says nothing of what another seed would have given, so a single-seed interval is over the test images
only and never stands against an interval over seeds. With few seeds their variance is pooled over the rows of
one protocol, as in the analysis of variance: rows have their own means and are taken to share one variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
ENOUGH_SEEDS = 3
"""From so many seeds on two rows may be called separated, or not."""
MANY_SEEDS = 10
"""From so many seeds on a row's own seeds are resampled; below, their variance is pooled over rows."""
REPEATS = 40
"""Draws of seed noise for every image resample of a ratio."""


class Kind(Enum):
    """What an interval is over."""

    IMAGES = "images"
    SEEDS = "seeds+images"


class Interval(NamedTuple):
    """An interval of `LEVEL`; `df` counts the degrees of freedom of its variance between seeds, if any."""

    low: float
    high: float
    kind: Kind
    df: float | None = None

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

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(self.values.mean())


class Pooled(NamedTuple):
    """Variance between seeds of a row, estimated from all rows of a protocol, and degrees of freedom."""

    variance: float
    df: int


def pool(rows: Iterable[NDArray[np.float64]]) -> Pooled | None:
    """Pool the variance between seeds: Σ (nᵢ − 1) sᵢ² / Σ (nᵢ − 1); None where no row has two seeds."""
    several = [values for values in rows if len(values) > 1]
    df = sum(len(values) - 1 for values in several)
    if df == 0:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in several)
    return Pooled(squares / df, df)


def interval(row: Scores, pooled: Pooled | None) -> Interval | None:
    """The interval of a row's mean; None where nothing was resampled.

    One seed: over test images only. Several: over seeds and images, with the pooled variance between seeds
    below `MANY_SEEDS`, else by resampling the row's own.
    """
    if row.resampled.shape[1] < 2:
        return None
    if row.n == 1:
        return _percentiles(row.resampled[0], Kind.IMAGES)
    if row.n >= MANY_SEEDS:
        return seed_bootstrap([row], [1.0])
    if pooled is None:
        raise ValueError("an interval over seeds takes the pooled variance between them")
    return t_interval([row], [1.0], pooled)


def difference(row: Scores, other: Scores, pooled: Pooled | None) -> Interval | None:
    """The interval of row − other, paired by image; None for one seed against several."""
    if (row.n == 1) != (other.n == 1) or _shared(row, other) < 2:
        return None
    if row.n == 1:
        width = _shared(row, other)
        return _percentiles(row.resampled[0, :width] - other.resampled[0, :width], Kind.IMAGES)
    if min(row.n, other.n) >= MANY_SEEDS:
        return seed_bootstrap([row, other], [1.0, -1.0])
    if pooled is None:
        raise ValueError("a difference over seeds takes the pooled variance between them")
    return t_interval([row, other], [1.0, -1.0], pooled)


def t_interval(rows: Sequence[Scores], weights: Sequence[float], pooled: Pooled) -> Interval:
    """Student's interval of Σ wᵢ · mean of row i over seeds and images.

    The variance is Σ wᵢ² s² / nᵢ, which holds what seed and images do together, plus the variance over
    image resamples of what all seeds share; degrees of freedom after Satterthwaite (1946).
    """
    centre = sum(w * row.mean for w, row in zip(weights, rows, strict=True))
    seeds = sum(w * w * pooled.variance / row.n for w, row in zip(weights, rows, strict=True))
    images = _image_variance(rows, weights)
    total = seeds + images
    df = pooled.df * (total / seeds) ** 2 if seeds > 0 else math.inf
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * math.sqrt(total)
    return Interval(centre - half, centre + half, Kind.SEEDS, pooled.df)


def seed_bootstrap(rows: Sequence[Scores], weights: Sequence[float], repeats: int = REPEATS) -> Interval:
    """Percentiles of Σ wᵢ · mean of row i, seeds and images resampled together.

    Each image resample meets `repeats` resamples of every row's seeds. Too narrow for a handful of seeds.
    """
    generator = np.random.default_rng(0)
    width = _shared(*rows)
    total = np.zeros((repeats, width))
    for weight, row in zip(weights, rows, strict=True):
        picks = generator.integers(0, row.n, size=(repeats, width, row.n))  # (R, B, S)
        # Resampled seeds have (n − 1)/n of the variance that seeds have.
        centre = row.resampled[:, :width].mean(axis=0)  # (B,)
        spread = math.sqrt(row.n / (row.n - 1)) if row.n > 1 else 1.0
        drawn = row.resampled[picks, np.arange(width)[None, :, None]].mean(axis=2)  # (R, B)
        total += weight * (centre + spread * (drawn - centre))
    return _percentiles(total.ravel(), Kind.SEEDS)


class Share(NamedTuple):
    """Share of the gap from random to supervised that a row covers: 0 random, 1 supervised.

    Both are None where the interval of the gap itself does not lie above 0: a share of noise says nothing.
    """

    value: float | None
    interval: Interval | None


def gap_share(row: Scores, random: Scores, supervised: Scores, pooled: Pooled | None) -> Share:
    """Share of the gap from `random` to `supervised` that `row` covers."""
    between = difference(supervised, random, pooled)
    gained = difference(row, random, pooled)
    if between is None or gained is None or between.low <= 0:
        return Share(None, None)
    draws = [_draws(part, pooled, number) for number, part in enumerate((row, random, supervised))]
    width = min(d.shape[1] for d in draws)
    top, low, high = (d[:, :width] for d in draws)
    value = (row.mean - random.mean) / (supervised.mean - random.mean)
    return Share(value, _percentiles(((top - low) / (high - low)).ravel(), gained.kind))


class Verdict(Enum):
    """What may be said of a row beside the best one."""

    TOO_FEW = "too few runs to say"
    NOT_SEPARATED = "not separated from best"
    BELOW = "below best"


def against_best(row: Scores, best: Scores, pooled: Pooled | None) -> Verdict:
    """Compare a row to the best one; below `ENOUGH_SEEDS` seeds on either side nothing may be said."""
    if min(row.n, best.n) < ENOUGH_SEEDS:
        return Verdict.TOO_FEW
    between = difference(best, row, pooled)
    if between is None:
        return Verdict.TOO_FEW
    return Verdict.NOT_SEPARATED if 0 in between else Verdict.BELOW


def _draws(row: Scores, pooled: Pooled | None, stream: int) -> NDArray[np.float64]:
    """Plausible means (R, B) of a row: image resamples, and with several seeds seed noise on top.

    The scale of the noise is drawn from the same stream for all rows: they share one variance estimate.
    """
    centre: NDArray[np.float64] = row.resampled.mean(axis=0)  # (B,)
    if row.n == 1 or pooled is None:
        return centre[None]
    shape = (REPEATS, len(centre))
    scale = np.sqrt(pooled.df / np.random.default_rng(0).chisquare(pooled.df, size=shape))
    noise = np.random.default_rng(1 + stream).standard_normal(shape)
    return np.asarray(centre + math.sqrt(pooled.variance / row.n) * scale * noise)


def _image_variance(rows: Sequence[Scores], weights: Sequence[float]) -> float:
    """Variance over image resamples of what the seeds of each row share.

    Images move each seed's score in a way of its own too. That part is in the variance between seeds
    already, so it is taken out here; both parts are read off the resamples.
    """
    width = _shared(*rows)
    total = np.zeros(width)
    own = 0.0
    for weight, row in zip(weights, rows, strict=True):
        scores = row.resampled[:, :width]
        centre = scores.mean(axis=0)
        total += weight * centre
        if row.n > 1:
            own += weight**2 * float((scores - centre).var(axis=1, ddof=1).mean()) / (row.n - 1)
    return max(float(total.var(ddof=1)) - own, 0.0)


def _shared(*rows: Scores) -> int:
    """Number of resamples that all rows have; they are the same ones, from the first on."""
    return min(int(row.resampled.shape[1]) for row in rows)


def _percentiles(values: NDArray[np.float64], kind: Kind) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), kind)
