"""The records that a command is of: those under `output`, or those of several people."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from downstream.judge.record_files import read_all
from downstream.judge.records import Record
from pretext.names import shown
from pretextbench.console import console

LONGEST = 2000
"""Characters of an error that are said."""


class Recorded(NamedTuple):
    """Records, notes on what a reader must know of them, and the folders whose `rows` may hold their rows."""

    records: list[Record]
    notes: tuple[str, ...]
    folders: tuple[Path, ...] = ()


def recorded(folder: Path) -> Recorded:
    """Read a folder of records; a file that cannot be read is named aloud and left out."""
    notes: list[str] = []
    records = read_all(folder, lambda error: notes.append(f"left out: {shown(error, LONGEST)}"))
    for note in notes:
        console.print(note, style="yellow", soft_wrap=True)
    return Recorded(records, tuple(notes), (folder,))
