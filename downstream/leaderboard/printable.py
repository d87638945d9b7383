"""Names of other people in tables: nothing that moves a cursor, breaks a line or hides what follows."""

from __future__ import annotations

from dataclasses import replace

from downstream.leaderboard.sheets import Line, Section, Sheet

STANDS_IN = "\ufffd"
"""For each character that cannot be printed."""


def printable(sheet: Sheet) -> Sheet:
    """The same table in characters that can be printed; what is markup, its renderer escapes."""
    return replace(
        sheet,
        title=_clean(sheet.title),
        heads=tuple(tuple(map(_clean, head)) for head in sheet.heads),
        sections=tuple(_section(section) for section in sheet.sections),
        notes=tuple(map(_clean, sheet.notes)),
        short=None if sheet.short is None else tuple(map(_clean, sheet.short)),
    )


def _section(section: Section) -> Section:
    lines = tuple(_line(line) for line in section.lines)
    return Section(_clean(section.title), lines)


def _line(line: Line) -> Line:
    return replace(line, label=_clean(line.label), remark=_clean(line.remark))


def _clean(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else STANDS_IN for letter in text)
