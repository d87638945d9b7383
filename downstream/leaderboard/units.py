"""Values in words: fractions in %, others in their unit, with an arrow where less is better."""

from __future__ import annotations

from downstream.leaderboard.statistics import Interval
from downstream.protocol import FRACTION, Direction, Scale

LESS = " ↓"
"""Behind the name of a metric of which less is better."""
LOPSIDED = 0.1
"""Of half its width: how far an interval's middle may lie from the value that it is written as ± of."""
ROUNDED = 1e-6
"""How far a value may lie outside of its interval since resamples are kept to seven digits."""


def metric_name(metric: str, scale: Scale) -> str:
    """A metric's name, its unit where that is not %, and an arrow where less is better."""
    unit = f" {scale.unit}" if scale.unit != FRACTION.unit else ""
    return metric + unit + LESS * (scale.direction is Direction.LOWER)


def in_unit(scale: Scale) -> str:
    """The unit that values are shown in."""
    return "in %" if scale.unit == FRACTION.unit else f"in {scale.unit}"


def number(value: float, scale: Scale) -> str:
    """A value as a table shows it: a fraction in %, any other to three digits."""
    if scale.unit == FRACTION.unit:
        return percent(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value + 0.0:.3g}"


def with_interval(value: float, interval: Interval | None, scale: Scale) -> str:
    """A value and its interval: "31.4±0.9"; "29.2 +12.5 −3.1" where it reaches further to one side.

    A value that lies outside of its interval, as one of few images may, has both ends: "29.2 [30.1, 41.7]".
    """
    shown = number(value, scale)
    if interval is None:
        return shown
    up, down = interval.high - value, value - interval.low
    if min(up, down) < -ROUNDED:
        return f"{shown} [{number(interval.low, scale)}, {number(interval.high, scale)}]"
    ends = [number(max(end, 0.0), scale) for end in (up, down)]
    if lopsided(value, interval) and ends[0] != ends[1]:
        return f"{shown} +{ends[0]} −{ends[1]}"
    return f"{shown}±{number(interval.half, scale)}"


def lopsided(value: float, interval: Interval) -> bool:
    """Whether ± half its width would say something else than the interval."""
    return abs(interval.low + interval.half - value) > LOPSIDED * interval.half


def percent(value: float) -> str:
    """A fraction in %, one decimal, no negative zero."""
    return f"{100 * value + 0.0:.1f}".replace("-0.0", "0.0")
