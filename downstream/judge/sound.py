"""Numbers that no measurement gives: a record that has one was changed by hand, whoever's it is."""

from __future__ import annotations

from downstream.judge.records import Record, Result
from downstream.protocol import FRACTION

ENOUGH = 100
"""Resamples of which none lies near a value that was changed; a metric's bias, as of precision, is less than
their spread."""

TOLERANCE = 1e-6
"""Of a value, or absolute below 1: resamples are kept to seven digits, and sums hang on their order."""


def unsound(record: Record) -> str:
    """What no measurement gives and no gate lets pass, in words; empty where there is nothing."""
    result, split = record.result, record.evaluation.split
    least, largest = result.range
    if result.unit == FRACTION.unit and result.range != FRACTION.range:
        return f"result.range: a fraction lies in [0, 1], its range is said to be [{least}, {largest}]"
    if result.value not in result.scale:
        metric = record.evaluation.metric
        return f"result.value {result.value} of {metric!r} is not in its range from {least} to {largest}"
    for name, known in (("digests", record.data.digests), ("counts", record.data.counts)):
        if split not in known:
            return f"evaluation.split {split!r} is not among data.{name}: {', '.join(map(repr, known))}"
    if record.evaluation.primary:  # of which val and train are scores too
        for name, value in (("val", result.val), ("train", result.train)):
            if value is not None and value not in result.scale:
                return f"result.{name}: {value} is not in its range from {least} to {largest}"
    return _against_resamples(result)


def _against_resamples(result: Result) -> str:
    scale = result.scale
    drawn = [value for value in result.resampled if value is not None]
    ends = [min(drawn), max(drawn)] if drawn else []
    for name, value in (("chance", result.chance), *(("resampled", end) for end in ends)):
        if value is not None and value not in scale:
            return f"result.{name}: {value} is not in its range from {scale.range[0]} to {scale.range[1]}"
    if len(drawn) >= ENOUGH:
        low, high = ends
        near = high - low + TOLERANCE * max(1.0, abs(result.value))
        if not low - near <= result.value <= high + near:
            return f"result.value: {result.value} lies far from its own resamples, {low} to {high}"
    return ""
