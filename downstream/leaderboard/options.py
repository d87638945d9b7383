"""What tells settings of one protocol apart, in a few words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from downstream.leaderboard.board import Column
from pretext.described import plainly


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


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by dotted key."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = plainly(value)
    return found
