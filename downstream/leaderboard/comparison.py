"""Rows against their twins, against each other, and in ranks: what a group says about its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from downstream.digest import short
from downstream.leaderboard.board import TWINS, Cell, Column, Gain, Row, RowKey, Verdict
from downstream.leaderboard.families import ENOUGH_SEEDS, Family, Pair, all_pairs, compare_each, ranks
from downstream.leaderboard.friedman import ENOUGH_SETS, MeanRanks, mean_ranks
from downstream.leaderboard.image_sets import image_sets
from downstream.leaderboard.statistics import Scores, Share, difference, gap_share
from downstream.leaderboard.variances import Pooled

Values = Sequence[NDArray[np.float64]]
"""Values of the rows of one column, each over its seeds."""


def with_gains(
    rows: Sequence[Row], pooled: Mapping[Column, Pooled | None], beside: Mapping[Column, Values]
) -> list[Row]:
    """Read each cell of a group's rows against the group's twins; twins themselves stay as they are.

    The rows of a column that ranks are compared with their random twins as one family: who reads down a
    column which rows have learned anything makes as many comparisons as there are rows.

    Args:
        beside: values of every row of a column, over all groups.
    """
    candidates = {name: [row for row in rows if row.key.pretext == name] for name in TWINS}
    twins = {row.key: [_twin(row, name, candidates[name]) for name in TWINS] for row in rows if not row.twin}
    found: dict[RowKey, dict[Column, Cell]] = {row.key: dict(row.cells) for row in rows}
    paired: dict[Column, list[tuple[RowKey, Scores, Scores]]] = defaultdict(list)
    for row in sorted((row for row in rows if not row.twin), key=lambda row: row.key):
        for column, cell in row.cells.items():
            random, supervised = (twin.cells.get(column) if twin else None for twin in twins[row.key])
            seeds = _common(cell, random, supervised)
            if random is None or not seeds:
                continue
            own, low = _at(cell, seeds), _at(random, seeds)
            top = _at(supervised, seeds) if supervised is not None else None
            found[row.key][column] = replace(cell, gain=_gain(own, low, top, pooled[column]))
            if column.ranks and may_compare(own) and may_compare(low):
                paired[column].append((row.key, own, low))
    compared = compare_each(_with_twins(those, beside[column]) for column, those in paired.items())
    for (column, those), family in zip(paired.items(), compared, strict=True):
        for (key, *_), separated in zip(those, family.separated.tolist(), strict=True):
            gain = found[key][column].gain
            assert gain is not None
            found[key][column] = replace(found[key][column], gain=gain._replace(separated=separated))
    return [replace(row, cells=found[row.key]) for row in rows]


def _with_twins(those: Sequence[tuple[RowKey, Scores, Scores]], beside: Values) -> Family:
    """Rows, each beside its twin; a twin that several have, with the same seeds, is one."""
    rows = [own for _, own, _ in those]
    place: dict[tuple[float, ...], int] = {}
    pairs = []
    for i, (_, _, low) in enumerate(those):
        at = place.setdefault(tuple(low.values), len(rows))
        if at == len(rows):
            rows.append(low)
        pairs.append((i, at))
    return rows, pairs, beside


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


def _common(cell: Cell, *others: Cell | None) -> list[int]:
    """Seeds that a cell has in common with all the others there are."""
    return [seed for seed in cell.seeds if all(seed in other.seeds for other in others if other is not None)]


def _gain(own: Scores, low: Scores, top: Scores | None, pooled: Pooled | None) -> Gain:
    gained = difference(own, low, pooled)
    if top is None:
        return Gain(own.mean - low.mean, gained, None, Share(None, None))
    return Gain(own.mean - low.mean, gained, own.mean - top.mean, gap_share(own, low, top, pooled))


def _at(cell: Cell, seeds: Sequence[int]) -> Scores:
    """The scores of these seeds, of which more is better."""
    sign = cell.scale.sign
    if sign == 1 and tuple(seeds) == cell.seeds:
        return cell.scores
    index = [cell.seeds.index(seed) for seed in seeds]
    return Scores(sign * cell.scores.values[index], sign * cell.scores.resampled[index])


def with_best(rows: Sequence[Row], columns: Iterable[Column], beside: Mapping[Column, Values]) -> list[Row]:
    """Mark the best pretext task of each ranking column, what is not separated from it, and all ranks.

    The family is all pairs of a section's rows in one column, twins left out: they are there to be read
    against and compete with nobody. Rows of fewer than `ENOUGH_SEEDS` seeds are outside of it too.

    Args:
        beside: values of every row of a column, over all groups.
    """
    found = {row.key: dict(row.cells) for row in rows}
    rivals: dict[Column, dict[RowKey, Cell]] = {}
    for column in columns:
        own = {row.key: row.cells[column] for row in rows if not row.twin and column in row.cells}
        if column.ranks and own:
            rivals[column] = own
    compared = compare_each(_each_other(own, beside[column]) for column, own in rivals.items())
    for (column, own), family in zip(rivals.items(), compared, strict=True):
        for key, cell in _marked(own, family.separated.tolist()).items():
            found[key][column] = cell
    return [replace(row, cells=found[row.key]) for row in rows]


def _members(rivals: Mapping[RowKey, Cell]) -> list[RowKey]:
    return sorted(key for key, cell in rivals.items() if may_compare(cell.scores))


def _each_other(rivals: Mapping[RowKey, Cell], beside: Values) -> Family:
    rows = [rivals[key].scores for key in _members(rivals)]
    return rows, all_pairs(len(rows)), beside


def _marked(rivals: Mapping[RowKey, Cell], separated: Sequence[bool]) -> dict[RowKey, Cell]:
    """The cells of a column with their marks and ranks; separated: of all pairs of members, in order."""
    top, *others = sorted((cell.merit for cell in rivals.values()), reverse=True)
    second = others[0] if others and others[0] < top else None
    members = _members(rivals)
    pairs, place = all_pairs(len(members)), {key: i for i, key in enumerate(members)}
    apart = dict(zip(pairs, separated, strict=True))
    best = next((i for i, key in enumerate(members) if rivals[key].merit == top), None)
    among = ranks([rivals[key].merit for key in members], pairs, separated)
    return {
        key: replace(
            cell,
            best=cell.merit == top,
            second=cell.merit == second,
            verdict=None if cell.merit == top else _verdict(place.get(key), best, apart),
            ranks=among[place[key]] if key in place and pairs else None,
        )
        for key, cell in rivals.items()
    }


def may_compare(scores: Scores) -> bool:
    """Whether it has seeds enough to be compared, and resamples."""
    return scores.n >= ENOUGH_SEEDS and scores.resampled.shape[1] >= 2


def _verdict(at: int | None, best: int | None, separated: Mapping[Pair, bool]) -> Verdict:
    if at is None or best is None:
        return Verdict.TOO_FEW
    return Verdict.BELOW if separated[min(at, best), max(at, best)] else Verdict.NOT_SEPARATED


def with_ranks(rows: Sequence[Row], columns: Iterable[Column]) -> list[Row]:
    """Mean rank and share of the gap: over settings of a protocol, then over protocols, then over data."""
    ranking = [column for column in columns if column.ranks]
    rivals = [row for row in rows if not row.twin and row.complete]
    if not ranking or not rivals:
        return list(rows)
    ranked = ranks_by_set(rivals, ranking)
    places = dict(zip([row.key for row in rivals], ranked.mean(axis=0).tolist(), strict=True))
    enough = len(ranked) >= ENOUGH_SETS
    return [
        replace(
            row,
            place=places[row.key],
            rank=places[row.key] if enough else None,
            gain=_mean_share(row, ranking),
        )
        if row.key in places
        else row
        for row in rows
    ]


def over_sets(rows: Sequence[Row], columns: Iterable[Column]) -> MeanRanks | None:
    """Compare the mean ranks of a section's rows; None below three rows, or `ENOUGH_SETS` data sets."""
    rivals = [row for row in rows if row.rank is not None]
    if len(rivals) < 3:
        return None
    return mean_ranks(ranks_by_set(rivals, [column for column in columns if column.ranks]))


def ranks_by_set(rivals: Sequence[Row], columns: Sequence[Column]) -> NDArray[np.float64]:
    """Ranks of rows on each image set (N, k), from the means of their ranks in its columns."""
    sets = image_sets(columns)
    places = {c: _places(np.array([row.cells[c].merit for row in rivals])) for c in columns}
    found = [_by_set({c: float(places[c][i]) for c in columns}, sets) for i in range(len(rivals))]
    return np.stack([_places(np.array([-own[name] for own in found])) for name in sorted(set(sets.values()))])


def _mean_share(row: Row, columns: Iterable[Column]) -> float | None:
    shares = {}
    for column in columns:
        gain = row.cells[column].gain
        if gain is None or gain.share.value is None:
            return None
        shares[column] = gain.share.value
    return float(np.mean(list(_by_set(shares, image_sets(shares)).values())))


def _places(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, the highest first; equal values share the mean of theirs."""
    above = np.sum(values[None, :] > values[:, None], axis=1)
    level = np.sum(values[None, :] == values[:, None], axis=1)
    return np.asarray(above + (level + 1) / 2, np.float64)


def _by_set(values: Mapping[Column, float], sets: Mapping[Column, str]) -> dict[str, float]:
    """Means by image set: settings of one protocol count as one, and so do tasks on one image set."""
    found: dict[str, dict[Column, list[float]]] = defaultdict(lambda: defaultdict(list))
    for column, value in values.items():
        found[sets[column]][column._replace(settings="")].append(value)
    return {name: float(np.mean([np.mean(each) for each in own.values()])) for name, own in found.items()}
