"""Rows against their twins, against the best, and in ranks: what a group says about its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from downstream.digest import short
from downstream.leaderboard.board import TWINS, Cell, Column, Gain, Row, RowKey
from downstream.leaderboard.statistics import Pooled, Scores, Share, against_best, difference, gap_share


def with_gains(row: Row, twins: Mapping[str, list[Row]], pooled: Mapping[Column, Pooled | None]) -> Row:
    """Read each cell of a row against the group's twins; twins themselves stay as they are."""
    if row.twin:
        return row
    random, supervised = (_twin(row, name, twins[name]) for name in TWINS)
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


def _twin(row: Row, name: str, candidates: Sequence[Row]) -> Row | None:
    """The twin of that name: the run that the row names; where it names none, the only one there is."""
    if name in row.twins:
        return next((twin for twin in candidates if twin.key.recipe == row.twins[name]), None)
    return candidates[0] if len(candidates) == 1 else None


def ambiguous_twins(rows: Sequence[Row]) -> list[str]:
    """Say of which rows nothing is gained since several recipes of a twin are there, and they name none."""
    notes = []
    for name in TWINS:
        there = [row for row in rows if row.key.pretext == name]
        unread = [row.label for row in rows if not row.twin and name not in row.twins]
        if len(there) > 1 and unread:
            recipes = ", ".join(short(twin.key.recipe) for twin in there)
            notes.append(
                f"Several recipes of {name} ({recipes}) share one section: no gain over it is read for "
                f"{', '.join(unread)}, which name none of them as theirs."
            )
    return notes


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
    """The scores of these seeds, of which more is better."""
    sign = cell.scale.sign
    if sign == 1 and tuple(seeds) == cell.seeds:
        return cell.scores
    index = [cell.seeds.index(seed) for seed in seeds]
    return Scores(sign * cell.scores.values[index], sign * cell.scores.resampled[index])


def with_best(
    rows: Sequence[Row], columns: Iterable[Column], pooled: Mapping[Column, Pooled | None]
) -> list[Row]:
    """Mark the best pretext task of each ranking column, and what is not separated from it."""
    cells = {row.key: dict(row.cells) for row in rows}
    for column in columns:
        rivals = {r.key: r.cells[column] for r in rows if not r.twin and column in r.cells}
        if not column.ranks or not rivals:
            continue
        top = max(cell.merit for cell in rivals.values())
        best = next(cell for cell in rivals.values() if cell.merit == top)
        for key, cell in rivals.items():
            if cell.merit == top:
                cells[key][column] = replace(cell, best=True)
            else:
                verdict = against_best(cell.scores, best.scores, pooled[column])
                cells[key][column] = replace(cell, verdict=verdict)
    return [replace(row, cells=cells[row.key]) for row in rows]


def with_ranks(rows: Sequence[Row], columns: Iterable[Column]) -> list[Row]:
    """Average rank and share of the gap: over settings of a protocol, then over protocols, then over data."""
    ranking = [column for column in columns if column.ranks]
    rivals = [row for row in rows if not row.twin and row.complete]
    if not ranking or not rivals:
        return list(rows)
    ranks: dict[RowKey, dict[Column, float]] = defaultdict(dict)
    for column in ranking:
        places = _places(np.array([row.cells[column].merit for row in rivals]))
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


def _places(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, the highest first; equal values share the mean of theirs."""
    above = np.sum(values[None, :] > values[:, None], axis=1)
    level = np.sum(values[None, :] == values[:, None], axis=1)
    return np.asarray(above + (level + 1) / 2, np.float64)


def _by_data(values: Mapping[Column, float]) -> float:
    """Several settings of one protocol count as one, and so do several tasks on one image set."""
    found: dict[str, dict[Column, list[float]]] = defaultdict(lambda: defaultdict(list))
    for column, value in values.items():
        found[column.data][column._replace(settings="")].append(value)
    return float(np.mean([np.mean([np.mean(own) for own in data.values()]) for data in found.values()]))
