"""Tables of what was measured, with intervals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from downstream.judge.records import Record
from downstream.leaderboard.board import Board
from downstream.leaderboard.frames import cells_frame, scores_frame
from downstream.leaderboard.latex import latex
from downstream.leaderboard.markdown import markdown
from downstream.leaderboard.published import (
    NAME,
    Published,
    beside,
    published_frame,
    published_sheets,
    read_published,
)
from downstream.leaderboard.sheets import Sheet, sheets
from downstream.leaderboard.tables import build
from downstream.leaderboard.terminal import print_sheet
from pretext.atomic import write_bytes

__all__ = [
    "Board",
    "Paths",
    "Published",
    "beside",
    "build",
    "cells_frame",
    "leaderboard",
    "read_published",
    "scores_frame",
    "show",
]

SHOWN = ("scores", "gains", "across_inputs")
"""Tables that a terminal shows; the stage curves are in the files."""


class Paths(NamedTuple):
    """What was written."""

    markdown: Path
    latex: Path
    text: Path
    cells: Path
    scores: Path


def leaderboard(
    records: Sequence[Record], folder: Path, published: Sequence[Published] = (), notes: Sequence[str] = ()
) -> Paths:
    """Write the tables of these records, each file whole or not at all.

    Args:
        published: others' numbers, in tables of their own behind the measured ones and in `published.csv`.
        notes: what else a reader must know, under the first table.

    Returns:
        Markdown, LaTeX and plain text (80 columns); `cells.csv`, one line a cell; `scores.csv`, one a record.

    Raises:
        ValueError: no record of a primary metric.
    """
    board = build(records)
    made = _sheets(board, published, notes)
    text = io.StringIO()
    console = Console(file=text, width=80, color_system=None, legacy_windows=False, markup=False)
    for sheet in made:
        print_sheet(sheet, console)
    paths = Paths(
        markdown=folder / "leaderboard.md",
        latex=folder / "leaderboard.tex",
        text=folder / "leaderboard.txt",
        cells=folder / "cells.csv",
        scores=folder / "scores.csv",
    )
    contents = (
        markdown(made),
        latex(made),
        "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()),
        cells_frame(board).to_csv(index=False, lineterminator="\n"),
        scores_frame(records).to_csv(index=False, lineterminator="\n"),
    )
    for path, content in zip(paths, contents, strict=True):
        write_bytes(path, content.encode())
    others = folder / "published.csv"
    if published:
        write_bytes(others, published_frame(published).to_csv(index=False, lineterminator="\n").encode())
    else:
        others.unlink(missing_ok=True)  # of an earlier table with them
    return paths


def show(
    records: Sequence[Record],
    console: Console,
    published: Sequence[Published] = (),
    notes: Sequence[str] = (),
) -> None:
    """Print the tables of these records, but the stage curves, then those of others' numbers.

    Raises:
        ValueError: no record of a primary metric.
    """
    board = build(records)
    for sheet in _sheets(board, published, notes):
        if sheet.name in SHOWN or sheet.name.startswith(NAME):
            print_sheet(sheet, console)


def _sheets(board: Board, published: Sequence[Published], notes: Sequence[str]) -> list[Sheet]:
    first, *others = sheets(board)
    return [replace(first, notes=(*first.notes, *notes)), *others, *published_sheets(board, published)]
