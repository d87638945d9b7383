"""Tables of what was measured, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from downstream.judge.records import Record
from downstream.leaderboard.board import Board
from downstream.leaderboard.latex import latex
from downstream.leaderboard.league import NAME as LEAGUE
from downstream.leaderboard.league import league_sheets
from downstream.leaderboard.markdown import markdown
from downstream.leaderboard.page import Beside, Part, page
from downstream.leaderboard.printable import printable
from downstream.leaderboard.published import (
    NAME,
    Published,
    beside,
    chosen_published,
    published_csv,
    published_sheets,
    read_published,
)
from downstream.leaderboard.sheets import sheets
from downstream.leaderboard.tables import build
from downstream.leaderboard.terminal import plain_text, print_sheet
from downstream.leaderboard.tidy import (
    cells_csv,
    cells_frame,
    cells_json,
    cells_parquet,
    scores_csv,
    scores_frame,
    scores_json,
    scores_parquet,
)
from downstream.leaderboard.view_sheets import NAME as VIEW
from downstream.leaderboard.view_sheets import view_sheets
from downstream.leaderboard.views import View, lay_out
from pretext.atomic import write_bytes

__all__ = [
    "LEAGUE",
    "Beside",
    "Board",
    "Paths",
    "Published",
    "Tables",
    "View",
    "beside",
    "build",
    "cells_frame",
    "chosen_published",
    "read_published",
    "scores_frame",
]

SHOWN = ("scores", "gains", "across_inputs", VIEW, NAME, LEAGUE)
"""Beginnings of the names of tables that a terminal shows; the stage curves are in the files."""


class Paths(NamedTuple):
    """What is always written."""

    markdown: Path
    latex: Path
    text: Path
    page: Path
    cells: Path
    cells_json: Path


class Tables:
    """The tables of some records, made once, to be written and printed.

    Args:
        records: what `board` was built of.
        published: others' numbers, in tables of their own behind the measured ones and in `published.csv`.
        notes: what else a reader must know, under the first table.
        view: what rows, columns and sections are made of, instead of the board's own.

    Raises:
        ValueError: a view of fields that records have not, or in which two scores meet in one cell.
    """

    def __init__(
        self,
        records: Sequence[Record],
        board: Board,
        published: Sequence[Published] = (),
        notes: Sequence[str] = (),
        view: View | None = None,
    ) -> None:
        self.records, self.board, self.published = records, board, published
        first, *others = sheets(board)
        self.main = printable(first.with_notes(notes))
        self.boards: tuple[Board, ...] = (board,)
        if view:
            laid = lay_out(board, records, view)
            self.boards = laid.boards
            first, *others = view_sheets(laid)
        else:
            others += [league.with_notes(notes) for league in league_sheets(records)]
        columns = () if view else board.columns
        made = (first.with_notes(notes), *others, *published_sheets(columns, published))
        self.sheets = tuple(map(printable, made))

    def part(self, title: str = "", text: str = "", command: str = "") -> Part:
        """This board as a page shows it, see `downstream.leaderboard.page.Part`."""
        view, published = (
            [sheet for sheet in self.sheets if sheet.name.startswith(name)] for name in (VIEW, NAME)
        )
        return Part(self.board, self.records, self.main, title, text, command, view, published)

    def write(
        self, folder: Path, beside: Beside | None = None, *, scores: bool = False, parquet: bool = False
    ) -> Paths:
        """Write all tables, each file whole or not at all; what an earlier call alone was asked for goes.

        Args:
            beside: what the page shows that no record holds.
            scores: whether every metric and stage of the records is written too, one line a record.
            parquet: whether lines of cells, and of scores, stand beside the same in CSV and JSON.

        Returns:
            Markdown, LaTeX and plain text (80 columns); one HTML page that sorts, filters and draws;
            `cells.csv`, one line a cell, and the same as a list in JSON.

        Raises:
            ModuleNotFoundError: Parquet without pyarrow.
        """
        paths = Paths(
            markdown=folder / "leaderboard.md",
            latex=folder / "leaderboard.tex",
            text=folder / "leaderboard.txt",
            page=folder / "leaderboard.html",
            cells=folder / "cells.csv",
            cells_json=folder / "cells.json",
        )
        contents = (
            markdown(self.sheets).encode(),
            latex(self.sheets).encode(),
            plain_text(self.sheets).encode(),
            page([self.part()], beside),
            cells_csv(self.boards).encode(),
            cells_json(self.boards),
        )
        for path, content in zip(paths, contents, strict=True):
            write_bytes(path, content)
        asked: dict[str, tuple[bool, Callable[[], bytes]]] = {
            "scores.csv": (scores, lambda: scores_csv(self.records).encode()),
            "scores.json": (scores, lambda: scores_json(self.records)),
            "cells.parquet": (parquet, lambda: cells_parquet(self.boards)),
            "scores.parquet": (scores and parquet, lambda: scores_parquet(self.records)),
            "published.csv": (bool(self.published), lambda: published_csv(self.published).encode()),
        }
        for name, (wanted, made) in asked.items():
            if wanted:
                write_bytes(folder / name, made())
            else:
                (folder / name).unlink(missing_ok=True)
        return paths

    def show(self, console: Console, only: str = "", *, short: bool = False) -> None:
        """Print the tables, but the stage curves, then those of others' numbers.

        Args:
            only: beginning of the names of those that are printed.
            short: without how to read them and what each column is.
        """
        for sheet in self.sheets:
            if sheet.name.startswith(SHOWN) and sheet.name.startswith(only):
                print_sheet(sheet, console, short=short)
