"""What a page is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from downstream.judge.records import Record
from downstream.leaderboard.board import Board
from downstream.leaderboard.sheets import Sheet


class Part(NamedTuple):
    """One board of a page, which shows one at a time.

    Attributes:
        board: built of `records`.
        scores: its main sheet: how each score is written, its footnotes, and what they mean.
        title, text, command: what a reader chooses it by, what is to be said of it, what made it; or empty.
        view, published: tables that stand above and below it as they are written elsewhere: a view by other
            fields, numbers that others published.
    """

    board: Board
    records: Sequence[Record]
    scores: Sheet
    title: str = ""
    text: str = ""
    command: str = ""
    view: Sequence[Sheet] = ()
    published: Sequence[Sheet] = ()


class Curve(NamedTuple):
    """What was measured while a run was pretrained: (training images seen, value), by rising images."""

    name: str
    points: Sequence[tuple[float, float]]


class Picture(NamedTuple):
    """A picture of an evaluation (detections, masks), or of a run (coloured samples).

    Attributes:
        of: digest of the evaluation, or of the run.
        caption: what it shows, in words.
        path: where it lies.
    """

    of: str
    caption: str
    path: Path


class Beside(NamedTuple):
    """What stands beside records where they were made, and in none of them.

    Attributes:
        curves: by digest of the run.
        pictures: the more important ones first: those that come when the room is full are left out.
        left: where those lie that are left out, in words.
        command: the command line that makes a record again; empty where nobody can say.
        classes: what the classes of a test split are called, by its digest and by task, in the order of
            their numbers.
    """

    curves: Mapping[str, Sequence[Curve]] = {}
    pictures: Sequence[Picture] = ()
    left: str = ""
    command: Callable[[Record], str] | None = None
    classes: Mapping[str, Mapping[str, Sequence[str]]] = {}
