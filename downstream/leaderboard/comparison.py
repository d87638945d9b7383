"""Rows against their twins, against the best, and in ranks: what a group says about its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from downstream.leaderboard.board import TWINS, Cell, Column, Gain, Row, RowKey
from downstream.leaderboard.statistics import Pooled, Scores, Share, against_best, difference, gap_share


def with_gains(row: Row, twins: Mapping[str, list[Row]], pooled: Mapping[Column, Pooled | None]) -> Row:
    """Read each cell of a row against the group's twins; twins themselves stay as they are."""
    if row.twin:
        return row
    random, supervised = (_twin(row, twins[name]) for name in TWINS)
    cells = {
        column: replace(
            cell,
            gain=_gain(
                cell,
                random.cells.get(column) if random else None,
                supervised.cells.get(column) if supervised else None,
                pooled[column],
            ),
        )
        for column, cell in row.cells.items()
    }
    return replace(row, cells=cells)


def _twin(row: Row, candidates: Sequence[Row]) -> Row | None:
    """The twin of a row; among several recipes the one with as many images seen, then with most cells."""
    return max(
        candidates,
        key=lambda twin: (twin.key.images_seen == row.key.images_seen, len(twin.cells), twin.key),
        default=None,
    )


def _gain(cell: Cell, random: Cell | None, supervised: Cell | None, pooled: Pooled | None) -> Gain | None:
    parts = [part for part in (random, supervised) if part is not None]
    seeds = [s for s in cell.seeds if all(s in part.seeds for part in parts)]
    if random is None or not seeds:
        return None
    own, low = _at(cell, seeds), _at(random, seeds)
    gained = difference(own, low, pooled)
    if supervised is None:
        return Gain(own.mean - low.mean, gained, None, Share(None, None))
    top = _at(supervised, seeds)
    return Gain(own.mean - low.mean, gained, own.mean - top.mean, gap_share(own, low, top, pooled))


def _at(cell: Cell, seeds: Sequence[int]) -> Scores:
    index = [cell.seeds.index(seed) for seed in seeds]
    return Scores(cell.scores.values[index], cell.scores.resampled[index])


def with_best(
    rows: Sequence[Row], columns: Iterable[Column], pooled: Mapping[Column, Pooled | None]
) -> list[Row]:
    """Mark the best pretext task of each ranking column, and what is not separated from it."""
    cells = {row.key: dict(row.cells) for row in rows}
    for column in columns:
        rivals = {r.key: r.cells[column] for r in rows if not r.twin and column in r.cells}
        if not column.ranks or not rivals:
            continue
        top = max(cell.value for cell in rivals.values())
        best = next(cell for cell in rivals.values() if cell.value == top)
        for key, cell in rivals.items():
            if cell.value == top:
                cells[key][column] = replace(cell, best=True)
            else:
                verdict = against_best(cell.scores, best.scores, pooled[column])
                cells[key][column] = replace(cell, verdict=verdict)
    return [replace(row, cells=cells[row.key]) for row in rows]


def with_ranks(rows: Sequence[Row], columns: Iterable[Column]) -> list[Row]:
    """Average rank and share of the gap, over the columns of a data set first, then over data sets."""
    ranking = [column for column in columns if column.ranks]
    rivals = [row for row in rows if not row.twin and row.complete]
    if not ranking or not rivals:
        return list(rows)
    ranks: dict[RowKey, dict[Column, float]] = defaultdict(dict)
    for column in ranking:
        places = rankdata([-row.cells[column].value for row in rivals])
        for row, place in zip(rivals, places, strict=True):
            ranks[row.key][column] = float(place)
    return [
        replace(row, rank=_by_data(ranks[row.key]), gain=_mean_share(row, ranking))
        if row.key in ranks
        else row
        for row in rows
    ]


def _mean_share(row: Row, columns: Iterable[Column]) -> float | None:
    shares = {}
    for column in columns:
        gain = row.cells[column].gain
        if gain is None or gain.share.value is None:
            return None
        shares[column] = gain.share.value
    return _by_data(shares)


def _by_data(values: Mapping[Column, float]) -> float:
    """Several tasks on one image set count as one data set."""
    by_data: dict[str, list[float]] = defaultdict(list)
    for column, value in values.items():
        by_data[column.data].append(value)
    return float(np.mean([np.mean(own) for own in by_data.values()]))
