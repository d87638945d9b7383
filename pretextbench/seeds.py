"""How many seeds to run: for a wished-for difference, and what a number of them shows, column by column."""

from __future__ import annotations

from typing import Literal

from omegaconf import DictConfig
from rich.table import Table

from downstream.leaderboard import Board
from downstream.leaderboard.board import Column
from downstream.leaderboard.power import MOST_SEEDS, Spread, difference_for, seeds_for, spread_of
from downstream.leaderboard.units import in_unit, metric_name, number
from downstream.protocol import FRACTION, Scale
from pretextbench.console import console

UNKNOWN, AT_LEAST = "–", "≥ "
NOT_KNOWN = (
    f"{UNKNOWN} images: a single row has several seeds, which does not say how far the test images move a "
    f"difference of two. {AT_LEAST.strip()}: as if they moved none; record a second row of several seeds."
)


def show_seeds(board: Board, settings: DictConfig) -> None:
    """Print what the spread of recorded rows says of rows to come.

    Args:
        settings: difference: in points of a fraction, else in the metric's unit. power: how often it is to be
            found. rows: how many are compared; None for as many as the largest section of the column has.
            seeds: numbers of seeds to say the least difference of.

    Raises:
        ValueError: no row has two seeds.
    """
    found = spreads(board, settings.rows)
    if not found:
        raise ValueError("no row has two seeds, by which to tell how far seeds lie apart; record some first")
    table = Table(box=None, pad_edge=False)
    heads = ["seeds", "images", "rows", f"for {settings.difference:g}", *(f"n={n}" for n in settings.seeds)]
    for head in ("column", *heads):
        side: Literal["left", "right"] = "left" if head == "column" else "right"
        table.add_column(head, justify=side, overflow="fold", no_wrap=head != "column")
    for column, spread in found.items():
        table.add_row(*_row(column, board.scales[column], spread, settings))
    console.print(table)
    unknown = any(spread.images is None for spread in found.values())
    for note in (*_notes(board, settings), *[NOT_KNOWN] * unknown):
        console.print(note, style="dim")


def spreads(board: Board, compared: int | None) -> dict[Column, Spread]:
    """The spread of each column that has rows of several seeds.

    Args:
        compared: how many rows are to be; None for as many as the largest section of a column has, or two.
    """
    found = {}
    for column in board.columns:
        pooled = board.pooled[column]
        if pooled is None:
            continue
        rows = {
            row.key: row.cells[column].scores for g in board.groups for row in g.rows if column in row.cells
        }
        largest = max(sum(column in row.cells for row in group.pretext) for group in board.groups)
        found[column] = spread_of(list(rows.values()), pooled, compared or max(2, largest))
    return found


def _row(column: Column, scale: Scale, spread: Spread, settings: DictConfig) -> list[str]:
    points = 100.0 if scale.unit == FRACTION.unit else 1.0
    seeds = seeds_for(spread, settings.difference / points, settings.power)
    least = [difference_for(spread, n, settings.power) for n in settings.seeds]
    at_least = AT_LEAST * (spread.images is None)
    return [
        f"{column.data} · {column.protocol} · {metric_name(column.metric, scale)}",
        f"{points * spread.seeds:.2g} ({spread.df} df)",
        UNKNOWN if spread.images is None else f"{points * spread.images:.2g}",
        str(spread.rows),
        f"> {MOST_SEEDS}" if seeds is None else f"{at_least}{seeds}",
        *(f"{at_least}{number(difference, scale)}" for difference in least),
    ]


def _notes(board: Board, settings: DictConfig) -> list[str]:
    units = sorted({in_unit(scale) for scale in board.scales.values()})
    return [
        f"seeds: standard deviation between the seeds of a row ({', '.join(units)}), pooled over the rows of "
        "a column, and its degrees of freedom. images: that of a difference of two rows over the test "
        "images, which stays however many seeds there are.",
        f"for {settings.difference:g}: seeds a row, to tell two rows apart that differ by "
        f"{settings.difference:g}, {settings.power:.0%} of the time, among so many rows at once (5 % for any "
        "error in a column, as in the tables). n=…: the least difference that so many seeds show so often.",
        "All is as uncertain as the deviations are: with 10 degrees of freedom those may be a third off.",
    ]
