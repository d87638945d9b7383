"""Values in words: fractions in %, others in their unit, with an arrow where less is better."""

from __future__ import annotations

from downstream.protocol import FRACTION, Direction, Scale

LESS = " ↓"
"""Behind the name of a metric of which less is better."""


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


def percent(value: float) -> str:
    """A fraction in %, one decimal, no negative zero."""
    return f"{100 * value + 0.0:.1f}".replace("-0.0", "0.0")
