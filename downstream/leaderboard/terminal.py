"""Tables in a terminal; wide ones are split into blocks of columns, so that no line is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text as Rich

from downstream.leaderboard.sheets import Line, Sheet, Text

SUPERSCRIPTS = dict(zip("abcdefghijklmnoprstuvwxyz*", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ*", strict=True))
LABEL = 26
"""Widest label; longer ones are folded."""


def print_sheet(sheet: Sheet, console: Console) -> None:
    """Print one table with its notes."""
    labels = [line for section in sheet.sections for line in section.lines]
    label = min(LABEL, max((cell_len(part) for line in labels for part in _label(line)), default=0))
    widths = [
        max(
            cell_len(part)
            for text in (*head, *(t for line in labels for t in _parts(line.cells[i])))
            for part in [text]
        )
        for i, head in enumerate(sheet.heads)
    ]
    console.print()
    console.print(Rich(sheet.title, style="bold"))
    for block in _blocks(widths, sheet.summary, label, console.width):
        _print_block(sheet, block, widths, label, console)
    for note in sheet.notes:
        console.print(Rich(note, style="dim"))


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


def _print_block(
    sheet: Sheet, block: tuple[list[int], int], widths: Sequence[int], label: int, console: Console
) -> None:
    columns, gap = block
    lines = max(len(sheet.heads[i]) for i in columns)
    heads = [("",) * (lines - len(sheet.heads[i])) + sheet.heads[i] for i in columns]
    header = _grid(columns, widths, label, gap)
    header.add_row("", *(Rich("\n".join(head), style="bold", justify="right") for head in heads))
    console.print(header)
    console.print("─" * min(console.width, label + sum(widths[i] + gap for i in columns)))
    for section in sheet.sections:
        console.print(Rich(section.title, style="italic cyan"))
        grid = _grid(columns, widths, label, gap)
        for line in section.lines:
            name = Rich("\n".join(_label(line)))
            grid.add_row(name, *(_rich(line.cells[i]) for i in columns))
        console.print(grid)
    console.print("─" * min(console.width, label + sum(widths[i] + gap for i in columns)))


def _grid(columns: Sequence[int], widths: Sequence[int], label: int, gap: int) -> Table:
    grid = Table(box=None, show_header=False, padding=(0, 0, 0, 0), pad_edge=False)
    grid.add_column(width=label, overflow="fold")
    for i in columns:
        grid.add_column(width=widths[i] + gap, justify="right", overflow="fold")
    return grid


def _label(line: Line) -> list[str]:
    return [line.label, *([f" {line.remark}"] if line.remark else [])]


def _parts(text: Text) -> list[str]:
    return [text.body + text.mark + superscript(text.notes), *([text.under] if text.under else [])]


def _rich(text: Text) -> Rich:
    made = Rich(text.body, style="bold green" if text.bold else "", justify="right")
    made.append(text.mark + superscript(text.notes), style="not bold dim")
    if text.under:
        made.append(f"\n{text.under}", style="not bold dim")
    return made
