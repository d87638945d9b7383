"""Places of records as tests gather them, and records with some fields changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_records import record

from downstream.judge.plain import to_plain
from downstream.judge.shared import Collected, gather, once, rows_at_hand


def collected(*places: Path) -> tuple[Collected, list[str]]:
    """What places hold, each score once, and what is wrong with them."""
    faults: list[str] = []
    found = gather(places, faults.append)
    rows = rows_at_hand(found)
    return once(found, lambda one: one.rows in rows, faults.append), faults


def edited(**parts: dict[str, Any]) -> dict[str, Any]:
    """A record with other values in its parts."""
    entry: dict[str, Any] = to_plain(record())
    for part, values in parts.items():
        entry[part] |= values
    return entry
