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
"""The first group of rows and its twins: others see other inputs, or are other networks."""


def readme(scores: Sheet) -> str:
    """README with this table between its marks."""
    _, _, table = markdown([in_short(scores)]).partition("\n\n")
    return filled(README, table.strip())


def in_short(sheet: Sheet) -> Sheet:
    """A sheet without footnotes, ranks and further sections."""
    heads = tuple(tuple(part for part in head if not re.fullmatch(r"\(\d+\)", part)) for head in sheet.heads)
    sections = [
        replace(section, lines=tuple(map(_bare, section.lines))) for section in sheet.sections[:SECTIONS]
    ]
    return replace(sheet, heads=heads, sections=tuple(sections), notes=())


def _bare(line: Line) -> Line:
    return replace(line, cells=tuple(replace(text, notes="", under="") for text in line.cells))
