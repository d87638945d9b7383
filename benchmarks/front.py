"""The suite's scores in short, for README: tasks and their twins, without footnotes."""

from __future__ import annotations

import re
from dataclasses import replace

from benchmarks.committed import ROOT
from benchmarks.marked import filled
from downstream.leaderboard.markdown import markdown
from downstream.leaderboard.sheets import Line, Sheet

README = ROOT / "README.md"
SECTIONS = 2
"""A group of rows and its twins."""


def readme(scores: Sheet) -> str:
    """README with this table between its marks."""
    _, _, table = markdown([in_short(scores)]).partition("\n\n")
    return filled(README, table.strip())


def in_short(sheet: Sheet) -> Sheet:
    """A sheet without footnotes and ranks, of its largest group: others have other inputs or networks."""
    heads = tuple(tuple(part for part in head if not re.fullmatch(r"\(\d+\)", part)) for head in sheet.heads)
    sizes = [len(section.lines) for section in sheet.sections]
    first = sizes.index(max(sizes))
    sections = [
        replace(section, lines=tuple(map(_bare, section.lines)))
        for section in sheet.sections[first : first + SECTIONS]
    ]
    return replace(sheet, heads=heads, sections=tuple(sections), notes=())


def _bare(line: Line) -> Line:
    return replace(line, cells=tuple(replace(text, notes="", under="") for text in line.cells))
