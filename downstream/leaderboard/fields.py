"""Fields of records by their names: what views are made of, and records are chosen by."""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_origin

import msgspec

from downstream.judge.plain import dataclass_in
from downstream.judge.records import Record
from downstream.leaderboard.tables import row_of

PARTS = ("subject", "evaluation", "data", "cost")
"""Parts of a record whose fields have names here."""

NONE = "–"
"""What stands for a value that is not there."""

NAME = ("subject", "pretext")
"""The way to what a row is called by."""

_OF_TRAINING = (("subject", "budget"), ("subject", "images_seen"))
"""What has no value where nothing was trained; what the training took, below `cost.pretraining`, neither."""

_OF_ENCODERS = (("evaluation", "stage"), ("evaluation", "precision"))
"""Fields of an evaluation that only one of an encoder has."""

_DIGEST = re.compile(r"[0-9a-f]{40,}")
_DIGITS = re.compile(r"(\d+)")


class Field(NamedTuple):
    """A field of a record: the way to it from the record, and its name as it was asked for."""

    path: tuple[str, ...]
    name: str

    def of(self, record: Record) -> Any:
        """Its value; None where the record has none.

        The calibration is that of the row: BatchNorm of what was never trained is estimated and tells no rows
        apart.
        """
        if self.path == ("subject", "calibration"):
            return row_of(record.subject).match.calibration
        value: Any = record
        for step in self.path:
            value = value.get(step) if isinstance(value, Mapping) else getattr(value, step, None)
        return value

    def applies(self, record: Record) -> bool:
        """Whether the record can have a value at all.

        Of a predictor without an encoder only its name, what it was scored by and on what; what takes no
        training has no budget.
        """
        if record.subject.blind:
            measured = self.path[0] not in ("subject", "cost") and self.path not in _OF_ENCODERS
            return measured or self.path == NAME
        if record.subject.budget:
            return True
        return self.path not in _OF_TRAINING and self.path[:2] != ("cost", "pretraining")


def field(name: str, records: Sequence[Record]) -> Field:
    """The field of that name: one of a part's own, or a dotted way into what it holds ("options.pools").

    Args:
        records: of which one at least must have it, where it is a key of a mapping.

    Raises:
        ValueError: no field has that name, or several parts have one; the message names those there are.
    """
    steps = tuple(name.split("."))
    ways = [(part, *steps) for part in PARTS] + [steps] * (len(steps) > 1)
    found = [way for way in ways if _leads(Record, way)]
    if len(found) > 1:
        raise ValueError(f"{name} is a field of several parts: say {' or '.join(map('.'.join, found))}")
    if not found or not any(Field(found[0], name).of(record) is not None for record in records):
        raise ValueError(f"no record has a field {name!r}; fields: {', '.join(names(records))}")
    return Field(found[0], name)


def names(records: Sequence[Record]) -> list[str]:
    """Every field that some record has a value for, by the shortest name that is no other's."""
    ways = [(part, *rest) for part in PARTS for rest in _inside(_hints(Record)[part])]
    ways += [(*way, key) for way in ways for key in _keys(way, records)]
    short = [".".join(way[1:]) for way in ways]
    return [
        ".".join(way) if short.count(own) > 1 else own
        for way, own in zip(ways, short, strict=True)
        if any(Field(way, own).of(record) is not None for record in records)
    ]


def text(value: Any) -> str:
    """A value as a table says it: digests by their beginning, lists and mappings as JSON."""
    if value is None or value == "":
        return NONE
    if isinstance(value, str):
        return value[:12] if _DIGEST.fullmatch(value) else value
    if isinstance(value, bool | list | tuple | dict):
        return msgspec.json.encode(value, order="sorted").decode()
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_order(values: Iterable[Any]) -> list[Any]:
    """Values by number where they are numbers, else as text in which numbers count: conv2 before conv10."""
    return sorted(values, key=rank)


def rank(value: Any) -> tuple[Any, ...]:
    """What sorts a value among others of its field; what is not there comes last."""
    if value is None or value == "":
        return (2,)
    if isinstance(value, int | float):
        return (0, value)
    return (
        1,
        [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(text(value))],
    )


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _leads(kind: Any, way: Sequence[str]) -> bool:
    """Whether a way ends at something that is no dataclass."""
    if way[0] not in _hints(kind):
        return False
    hint, rest = _hints(kind)[way[0]], way[1:]
    if (inner := dataclass_in(hint)) is not None:
        return bool(rest) and _leads(inner, rest)
    return not rest or get_origin(hint) is dict


def _inside(kind: Any) -> list[tuple[str, ...]]:
    """The ways to what a dataclass holds."""
    found: list[tuple[str, ...]] = []
    for name, hint in _hints(kind).items():
        inner = dataclass_in(hint)
        found += [(name,)] if inner is None else [(name, *rest) for rest in _inside(inner)]
    return found


def _keys(way: tuple[str, ...], records: Sequence[Record]) -> list[str]:
    """The keys of a mapping, in any record."""
    held = (Field(way, "").of(record) for record in records)
    return list(dict.fromkeys(key for value in held if isinstance(value, Mapping) for key in value))
