"""From records to one board: matched groups of rows, columns of tasks and protocols, cells with intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.judge.flags import DIRTY
from downstream.judge.provenance import code_of
from downstream.judge.records import BLIND, Record, Subject
from downstream.leaderboard.board import Board, Cell, Column, Group, Match, Row, RowKey
from downstream.leaderboard.comparison import (
    Values,
    ambiguous_twins,
    over_sets,
    with_best,
    with_gains,
    with_ranks,
)
from downstream.leaderboard.options import stated, told_apart, unlike_stated
from downstream.leaderboard.statistics import Scores, interval
from downstream.leaderboard.variances import Pooled, pool
from downstream.protocol import Scale


def build(records: Sequence[Record]) -> Board:
    """Build the board of these records.

    Raises:
        ValueError: no record of a primary metric; records of one column that differ in unit, direction or
            range.
    """
    kept, notes = newest(records)
    if not kept:
        raise ValueError("a leaderboard takes records of primary metrics; there are none")
    main = [p for p in kept if p.record.result.selected]
    cells = _defined(_cells(main))
    columns = tuple(sorted({column for _, column in cells}, key=_column_order))
    beside: dict[Column, list[NDArray[np.float64]]] = {column: [] for column in columns}
    for (_, column), cell in cells.items():
        beside[column].append(cell.scores.values)
    pooled = {column: pool(own) for column, own in beside.items()}
    cells = {at: replace(cell, interval=interval(cell.scores, pooled[at[1]])) for at, cell in cells.items()}
    rows = _rows(cells, main)
    blind = sorted((row for row in rows if row.key.pretext.startswith(BLIND)), key=lambda row: row.label)
    groups, ambiguous = _groups(
        [row for row in rows if not row.key.pretext.startswith(BLIND)], pooled, beside
    )
    codes: dict[Column, set[str]] = defaultdict(set)
    for placed in main:
        own = stated().get(placed.column.protocol)
        codes[placed.column].add(code_of(placed.record.provenance.scoring, own.module if own else ""))
    options = {placed.column: placed.record.evaluation.options for placed in main}
    return Board(
        columns,
        groups,
        tuple(blind),
        pooled,
        {column: len(codes[column]) for column in columns},
        _stage_curves(kept),
        told_apart(options),
        unlike_stated(options),
        {column: cell.scale for (_, column), cell in cells.items()},
        notes + ambiguous,
    )


class Placed(NamedTuple):
    """A record with the row and the column that it belongs to."""

    record: Record
    row: RowKey
    column: Column


def _placed(records: Iterable[Record]) -> list[Placed]:
    """Each record with its place, which is found once of parts that are one object."""
    records = list(records)  # so that no part goes, and another takes its address
    rows: dict[int, RowKey] = {}
    columns: dict[tuple[int, int, bool], Column] = {}
    made: list[Placed] = []
    for record in records:
        subject = record.subject
        if (row := rows.get(id(subject))) is None:
            row = rows[id(subject)] = row_of(subject)
        at = (id(record.evaluation), id(record.data), subject.blind)
        if (column := columns.get(at)) is None:
            column = columns[at] = column_of(record)
        made.append(Placed(record, row, column))
    return made


def _rows(cells: Mapping[tuple[RowKey, Column], Cell], records: Iterable[Placed]) -> list[Row]:
    """One row a key, with the twins that its records name."""
    own: dict[RowKey, dict[Column, Cell]] = defaultdict(dict)
    for (key, column), cell in cells.items():
        own[key][column] = cell
    twins = {row: record.subject.twins for record, row, _ in records if record.subject.twins}
    labels = _labels(own)
    return [Row(key, labels[key], found, twins.get(key, {}), (0, 0)) for key, found in own.items()]


def _groups(
    rows: Sequence[Row], pooled: Mapping[Column, Pooled | None], beside: Mapping[Column, Values]
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Matched rows; those that took no training stand in the group of every budget. And what must be said."""
    by_match: dict[Match, list[Row]] = defaultdict(list)
    for row in rows:
        by_match[row.key.match].append(row)
    for match in [match for match in by_match if not match.budget]:
        trained = [m for m in by_match if m.budget and m._replace(budget="") == match]
        for other in trained:
            by_match[other] += by_match[match]
        if trained:
            del by_match[match]
    notes = tuple(dict.fromkeys(note for own in by_match.values() for note in ambiguous_twins(own)))
    return tuple(_group(match, by_match[match], pooled, beside) for match in sorted(by_match)), notes


def column_of(record: Record) -> Column:
    """The column of a record."""
    e = record.evaluation
    splits = tuple(sorted(record.data.digests.items()))
    return Column(
        e.data,
        e.task,
        e.trains_encoder,
        e.protocol,
        e.version,
        e.metric,
        # A blind predictor runs no network: its rows belong to every precision.
        "" if record.subject.blind else e.precision,
        e.settings,
        splits,
        record.data.counts[e.split],
    )


def row_of(subject: Subject) -> RowKey:
    """The row of a subject.

    The random twin's BatchNorm is recalibrated, since a network that was never trained has no statistics of
    its own. That makes it comparable with trained networks, not different from them.
    """
    calibration = "none" if subject.calibration == "batchnorm" else subject.calibration
    match = Match(
        subject.pretraining,
        subject.pretraining_digest,
        subject.backbone,
        subject.input,
        calibration,
        subject.budget,
    )
    return RowKey(match, subject.pretext, subject.calibration, subject.recipe, subject.images_seen)


def newest(records: Iterable[Record]) -> tuple[list[Placed], tuple[str, ...]]:
    """Of records of primary metrics one for each row, column, stage, seed and draw: the newest.

    Returns:
        Those records with their places; how many others there were, as a note.
    """
    placed = _placed(record for record in records if record.evaluation.primary)
    placed.sort(key=lambda p: (p.record.provenance.utc, p.record.evaluation.digest))
    found: dict[object, Placed] = {}
    for each in placed:
        e, s = each.record.evaluation, each.record.subject
        found[each.row, each.column, e.stage, s.seed, e.draw] = each
    dropped = len(placed) - len(found)
    note = f"{dropped} records were left out: a newer one has the same row, column, stage, seed and draw."
    return list(found.values()), (note,) if dropped else ()


def _cells(records: Iterable[Placed]) -> dict[tuple[RowKey, Column], Cell]:
    runs: dict[tuple[RowKey, Column], dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    columns = {column for record, _, column in records if not record.subject.blind}
    for record, row, own in records:
        if record.subject.blind:
            same = [c for c in columns if c._replace(precision="") == own] or [own]
        else:
            same = [own]
        for column in same:
            runs[row, column][record.subject.seed].append(record)
    scales = _scales(records)
    return {
        (key, at): replace(_cell(seeds), scale=scales[at._replace(precision="")])
        for (key, at), seeds in runs.items()
    }


def _scales(records: Iterable[Placed]) -> dict[Column, Scale]:
    """What the values of each column mean, in every precision; its records must say the same."""
    found: dict[Column, Scale] = {}
    for record, _, own in records:
        column, scale = own._replace(precision=""), record.result.scale
        if found.setdefault(column, scale) != scale:
            raise ValueError(
                f"records of {column.protocol} v{column.version} on {column.data} say of {column.metric} "
                f"both {found[column]}, and {scale}: of one metric only one can be"
            )
    return found


def _defined(cells: Mapping[tuple[RowKey, Column], Cell]) -> dict[tuple[RowKey, Column], Cell]:
    """Leave out the resamples that do not define a column's metric, in all its cells alike: they pair up."""
    masks: dict[Column, list[NDArray[np.bool_]]] = defaultdict(list)
    for (_, column), cell in cells.items():
        masks[column].append(np.asarray(np.isfinite(cell.scores.resampled).all(axis=0)))
    kept = {column: _all_of(own) for column, own in masks.items()}
    return {(key, column): _without(cell, kept[column]) for (key, column), cell in cells.items()}


def _all_of(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Which resamples are defined in every mask that is long enough to say."""
    together = np.ones(max(len(mask) for mask in masks), dtype=np.bool_)
    for mask in masks:
        together[: len(mask)] &= mask
    return together


def _without(cell: Cell, kept: NDArray[np.bool_]) -> Cell:
    scores = cell.scores
    return replace(cell, scores=Scores(scores.values, scores.resampled[:, kept[: scores.resampled.shape[1]]]))


def _cell(runs: Mapping[int, Sequence[Record]]) -> Cell:
    """Draws of a head are averaged within their pretraining seed."""
    seeds = tuple(sorted(runs))
    everything = [record for seed in seeds for record in runs[seed]]
    width = min(len(record.result.resampled) for record in everything)
    values = [float(np.mean([r.result.value for r in runs[seed]])) for seed in seeds]
    resampled = [np.mean([_numbers(r, width) for r in runs[seed]], axis=0) for seed in seeds]
    scores = Scores(np.array(values), np.array(resampled).reshape(len(seeds), width))
    stages = tuple(dict.fromkeys(record.evaluation.stage for record in everything))
    flags = Counter(flag for record in everything for flag in dict.fromkeys(flags_of(record)))
    return Cell(scores, seeds, stages, None, {flag: n / len(everything) for flag, n in flags.items()})


def flags_of(record: Record) -> tuple[str, ...]:
    """What a reader must know of a score, where it was made among it."""
    return (*record.result.flags, DIRTY) if record.provenance.dirty else record.result.flags


def _numbers(record: Record, width: int) -> NDArray[np.float64]:
    """The first resamples of a record (width,), NaN where undefined."""
    return np.array(record.result.resampled[:width], dtype=np.float64)


def _group(
    match: Match,
    rows: list[Row],
    pooled: Mapping[Column, Pooled | None],
    beside: Mapping[Column, Values],
) -> Group:
    # Sorted, since a sum's last digits hang on the order of its terms.
    competing = {column for row in rows if not row.twin for column in row.cells if column.ranks}
    columns = sorted(competing, key=_column_order)
    rows = [replace(row, covered=(len(competing & set(row.cells)), len(columns))) for row in rows]
    rows = with_gains(rows, pooled, beside)
    rows = with_best(rows, columns, beside)
    rows = sorted(with_ranks(rows, columns), key=_row_order)
    return Group(match, tuple(rows), over_sets(rows, columns))


def _row_order(row: Row) -> tuple[bool, bool, float, float, str]:
    """Competing rows first: ranked ones by gain or else by their mean place, then the others by name."""
    gain = -row.gain if row.gain is not None else 0.0
    return (row.twin, row.place is None, gain, row.place or 0.0, row.label)


def _column_order(column: Column) -> tuple[bool, Column]:
    return (not column.ranks, column)


def _labels(rows: Iterable[RowKey]) -> dict[RowKey, str]:
    """The pretext task's name; where several recipes of a group share it, with the start of the recipe."""
    named: dict[tuple[Match, str], list[RowKey]] = defaultdict(list)
    for key in rows:
        named[key.match, key.pretext].append(key)
    return {
        key: key.pretext.removeprefix(BLIND) + (f" {key.recipe[:4]}" if len(same) > 1 else "")
        for same in named.values()
        for key in same
    }


def _stage_curves(records: Iterable[Placed]) -> dict[Column, dict[RowKey, dict[str, float]]]:
    """Mean score of every stage, over seeds and draws, in the order of the records."""
    found: dict[Column, dict[RowKey, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for record, row, column in records:
        if not record.subject.blind:
            found[column][row][record.evaluation.stage].append(record.result.value)
    return {
        column: {
            key: {stage: float(np.mean(values)) for stage, values in own.items()} for key, own in rows.items()
        }
        for column, rows in found.items()
        if any(len(own) > 1 for own in rows.values())
    }
