"""Rows that taught no more than random weights do: in how many columns, in a sentence."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import NamedTuple

from downstream.leaderboard import Board
from downstream.leaderboard.board import Column, Row
from downstream.leaderboard.statistics import Interval


class Count(NamedTuple):
    """A row's columns: not above its random twin by an interval, below it by one, and all that it has."""

    label: str
    not_above: int
    below: int
    columns: int


def counts(board: Board) -> list[Count]:
    """The rows with a column in which they are not above their random twin, most such columns first."""
    labels = Counter(row.label for row in _rows(board))
    found = [
        _count(
            row.label if labels[row.label] == 1 else f"{row.label} ({row.key.match.input})",
            list(_intervals(row).values()),
        )
        for row in _rows(board)
    ]
    return sorted((count for count in found if count.not_above), key=lambda c: (-c.not_above, c.label))


def sentence(board: Board) -> str:
    """Who is not above its random twin, in how many columns, and where most are; empty without gains."""
    if not any(map(_intervals, _rows(board))):
        return ""
    alike = groupby(counts(board), key=lambda count: count[1:])
    parts = [_part([count.label for count in own], *columns) for columns, own in alike]
    if not parts:
        return "Every row is above its random twin by an interval in every column."
    return f"Not above their random twin by an interval: {'; '.join(parts)}.{_most(board)}"


def _rows(board: Board) -> list[Row]:
    return [row for group in board.groups for row in group.pretext]


def _intervals(row: Row) -> dict[Column, Interval]:
    """A row's intervals of its gain over the random twin, by column."""
    gains = ((column, cell.gain) for column, cell in row.cells.items())
    return {column: gain.interval for column, gain in gains if gain is not None and gain.interval is not None}


def _not_above(interval: Interval) -> bool:
    return interval.low <= 0


def _count(label: str, intervals: list[Interval]) -> Count:
    below = sum(interval.high < 0 for interval in intervals)
    return Count(label, sum(map(_not_above, intervals)), below, len(intervals))


def _part(labels: list[str], not_above: int, below: int, columns: int) -> str:
    words = f"{', '.join(f'`{label}`' for label in labels)} in {not_above} of {columns}"
    return f"{words} (below in {below})" if below else words


def _most(board: Board) -> str:
    """The column with more of them than any other has, where there is one."""
    rows = _rows(board)
    found = Counter(c for row in rows for c, interval in _intervals(row).items() if _not_above(interval))
    (column, most), *others = found.most_common()
    if not others or others[0][1] == most:
        return ""
    where = f"`{column.protocol}` ({column.task}) on {column.data}"
    return f" Of these {found.total()}, {most} are in {where}, more than in any other column."
