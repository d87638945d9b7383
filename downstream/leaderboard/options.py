"""What tells settings of one protocol apart, and from those that its name stands for, in a few words.

A protocol's name promises the settings of its YAML. They are written down beside this module, so that a table
is made without what protocols are built on.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from downstream.leaderboard.board import Column
from pretext.described import plainly

BRIEF = 40
"""Letters of a value that are shown."""

STATED = Path(__file__).with_name("stated.json")


class Stated(NamedTuple):
    """What the YAML of a protocol says: module of its class, version, digest of its settings, every field."""

    module: str
    version: int
    settings: str
    options: dict[str, Any]


@functools.cache
def stated() -> dict[str, Stated]:
    """The settings that the names of protocols stand for."""
    return {name: Stated(**kept) for name, kept in json.loads(STATED.read_text()).items()}


def written(found: Mapping[str, Stated]) -> str:
    """The content of the file of stated settings."""
    return json.dumps({name: each._asdict() for name, each in found.items()}, indent=1, sort_keys=True) + "\n"


def unlike_stated(options: Mapping[Column, Mapping[str, Any]]) -> dict[Column, str]:
    """In what a column's settings are not those of its YAML, in words: "… pools=[3] (not [1, 2])".

    Args:
        options: as in `told_apart`.

    Returns:
        Columns of the settings that the name stands for, and those of a protocol that has no YAML here, are
        left out.
    """
    said = {}
    for column, fields in options.items():
        own = stated().get(column.protocol)
        if own is None or (own.version, own.settings) == (column.version, column.settings):
            continue
        here, there = _flat(fields), _flat(own.options)
        differing = [key for key in sorted(here) if here[key] != there.get(key)]
        told = [f"{key}={_brief(here[key])} (not {_brief(there.get(key))})" for key in differing]
        if column.version != own.version:
            told.insert(0, f"version {column.version} (not {own.version})")
        missing = sorted(there.keys() - here.keys())
        if fields and missing:
            told.append(f"without {', '.join(missing)}, which came later")
        difference = ", ".join(told) or "its records did not keep them by name"
        said[column] = f"settings other than those that {column.protocol} stands for: {difference}"
    return said


def told_apart(options: Mapping[Column, Mapping[str, Any]]) -> dict[Column, str]:
    """The fields in which the settings of one protocol differ, by column: "grid.epochs=8, pools=[3]".

    Args:
        options: every field of each column's protocol; empty where its records did not keep them.

    Returns:
        Columns whose protocol has no other settings here are left out.
    """
    alike: dict[Column, list[Column]] = defaultdict(list)
    for column in options:
        alike[column._replace(settings="", splits=(), images=0, precision="", data="")].append(column)
    said = {}
    for columns in alike.values():
        if len({column.settings for column in columns}) < 2:
            continue
        flat = {column: _flat(options[column]) for column in columns}
        keys = sorted({key for fields in flat.values() for key in fields})
        differing = [key for key in keys if len({repr(fields.get(key)) for fields in flat.values()}) > 1]
        for column, fields in flat.items():
            told = ", ".join(f"{key}={fields[key]}" for key in differing if key in fields)
            said[column] = told or f"settings {column.settings[:6]}"
    return said


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 1]}…"


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by dotted key."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = plainly(value)
    return found
