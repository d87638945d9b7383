"""Names of other people in tables: nothing that moves a cursor, breaks a line or hides what follows."""

from __future__ import annotations

from dataclasses import replace

from downstream.leaderboard.sheets import Line, Section, Sheet
from pretext import names


def printable(sheet: Sheet) -> Sheet:
    """The same table in characters that can be printed; what is markup, its renderer escapes."""
    return replace(
        sheet,
        title=names.printable(sheet.title),
        heads=tuple(tuple(map(names.printable, head)) for head in sheet.heads),
        sections=tuple(_section(section) for section in sheet.sections),
        notes=tuple(map(names.printable, sheet.notes)),
        short=None if sheet.short is None else tuple(map(names.printable, sheet.short)),
    )


def _section(section: Section) -> Section:
    lines = tuple(_line(line) for line in section.lines)
    return Section(names.printable(section.title), lines)


def _line(line: Line) -> Line:
    return replace(line, label=names.printable(line.label), remark=names.printable(line.remark))
