"""Tables in a terminal; wide ones are split into blocks of columns, so that no line is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment, Segments
from rich.text import Text as Rich

from downstream.leaderboard.sheets import Line, Sheet, Text

SUPERSCRIPTS = dict(zip("abcdefghijklmnoprstuvwxyz*", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ*", strict=True))
Parts = list[tuple[str, str]]
"""A line: texts with their styles."""
LABEL = 26
"""Widest label, and widest line of a head over narrow cells; longer ones are folded."""
_ANY = Console(markup=False)
"""What folds a text; nothing of the console counts for that."""


def print_sheet(sheet: Sheet, console: Console, *, short: bool = False) -> None:
    """Print one table with its notes, or with what must be known of it alone."""
    notes = sheet.short if short and sheet.short is not None else sheet.notes
    segments = []
    for line in _lines(sheet, notes, console.width):
        segments += [Segment(text, console.get_style(style)) for text, style in line]
        segments.append(Segment.line())
    console.print(Segments(segments), soft_wrap=True, end="")


def plain_text(sheets: Iterable[Sheet]) -> str:
    """The tables as they are printed without colour, 80 columns wide."""
    lines = (line for sheet in sheets for line in _lines(sheet, sheet.notes, 80))
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def superscript(letters: str) -> str:
    """Footnote letters as superscripts."""
    return "".join(SUPERSCRIPTS.get(letter, letter) for letter in letters)


def _blocks(widths: Sequence[int], summary: int, label: int, total: int) -> list[tuple[list[int], int]]:
    """Columns by block, each with the gap between columns: as many as fit, the summary in the first."""
    for gap in (2, 1):
        if label + sum(width + gap for width in widths) <= total:
            return [(list(range(len(widths))), gap)]
    blocks: list[tuple[list[int], int]] = []
    room = 0
    for i, width in enumerate(widths):
        if not blocks or (width + 2 > room and i >= summary):
            blocks.append(([], 2))
            room = total - label
        blocks[-1][0].append(i)
        room -= width + 2
    return blocks


def _lines(sheet: Sheet, notes: Iterable[str], total: int) -> Iterator[Parts]:
    """A table with notes, in lines that are no wider than that."""
    rows = [line for section in sheet.sections for line in section.lines]
    cells = [
        max((cell_len(part) for line in rows for part in _parts(line.cells[i])), default=0)
        for i in range(len(sheet.heads))
    ]
    room = max(1, min(LABEL, total - max(cells, default=0) - 2))
    label = min(room, max((cell_len(part) for line in rows for part in _label(line)), default=0))
    room = max(1, min(LABEL, total - label - 2))
    heads = [
        tuple(part for line in head for part in _folded(line, max(own, room)))
        for head, own in zip(sheet.heads, cells, strict=True)
    ]
    widths = [max(own, *map(cell_len, head)) for head, own in zip(heads, cells, strict=True)]
    sheet = replace(sheet, heads=tuple(heads))
    yield []
    yield from ([(part, "bold")] for part in _folded(sheet.title, total))
    for block in _blocks(widths, sheet.summary, label, total):
        yield from _block(sheet, block, widths, label, total)
    for note in notes:
        yield from ([(part, "dim")] for part in _folded(note, total))


def _block(
    sheet: Sheet, block: tuple[list[int], int], widths: Sequence[int], label: int, total: int
) -> Iterator[Parts]:
    columns, gap = block
    room = [label, *(widths[i] + gap for i in columns)]
    rule = [("─" * min(total, sum(room)), "")]
    deepest = max(len(sheet.heads[i]) for i in columns)
    for depth in range(deepest, 0, -1):  # heads stand on one foot
        parts = [sheet.heads[i][-depth] if depth <= len(sheet.heads[i]) else "" for i in columns]
        yield _spaced([[], *([(part, "bold")] for part in parts)], room)
    yield rule
    for section in sheet.sections:
        yield from ([(part, "italic cyan")] for part in _folded(section.title, total))
        for line in section.lines:
            yield from _line(line, columns, room)
    yield rule


def _line(line: Line, columns: Sequence[int], room: Sequence[int]) -> list[Parts]:
    """A row, as many lines as its label or the deepest of its cells takes."""
    names = [part for name in _label(line) for part in _folded(name, room[0])]
    cells = [_cell(line.cells[i]) for i in columns]
    depth = max(len(names), *map(len, cells)) if cells else len(names)
    names += [""] * (depth - len(names))
    return [
        _spaced([[(name, "")], *(cell[i] if i < len(cell) else [] for cell in cells)], room)
        for i, name in enumerate(names)
    ]


def _cell(text: Text) -> list[Parts]:
    """The lines of a cell."""
    beside = text.mark + superscript(text.notes)
    first = [(text.body, "bold green" if text.bold else ""), (beside, "dim")]
    return [first, *([[(text.under, "dim")]] if text.under else [])]


def _spaced(cells: Sequence[Parts], room: Sequence[int]) -> Parts:
    """The first cell to the left of its room, the others to the right of theirs."""
    line: Parts = []
    for place, (parts, width) in enumerate(zip(cells, room, strict=True)):
        blank = (" " * (width - sum(cell_len(text) for text, _ in parts)), "")
        line += [*parts, blank] if place == 0 else [blank, *parts]
    return line


@lru_cache(maxsize=4096)  # names come again in every block and table
def _folded(text: str, width: int) -> tuple[str, ...]:
    """A text in lines that are no wider than its room."""
    if cell_len(text) <= width:
        return (text,)
    return tuple(line.plain.rstrip() for line in Rich(text).wrap(_ANY, width, overflow="fold"))


def _label(line: Line) -> list[str]:
    return [line.label, *([f" {line.remark}"] if line.remark else [])]


def _parts(text: Text) -> list[str]:
    return [text.body + text.mark + superscript(text.notes), *([text.under] if text.under else [])]
