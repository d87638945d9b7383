"""From records to one board: matched groups of rows, columns of tasks and protocols, cells with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from downstream.leaderboard.statistics import (
    Interval,
    Pooled,
    Scores,
    Share,
    Verdict,
    against_best,
    difference,
    gap_share,
    interval,
    pool,
)
from downstream.records import BLIND, Record, Subject

RANDOM, SUPERVISED = "random", "supervised"
TWINS = (RANDOM, SUPERVISED)
MACHINERY = "scenes"
"""Data sets of this name, or whose name begins with it, check the machinery and never rank."""


class Column(NamedTuple):
    """A downstream task under one protocol, on the same images of every split."""

    data: str
    task: str
    trains_encoder: bool
    protocol: str
    version: int
    metric: str
    precision: str
    settings: str
    splits: tuple[tuple[str, str], ...]
    images: int

    @property
    def ranks(self) -> bool:
        """Whether its scores may rank pretext tasks."""
        return not self.data.startswith(MACHINERY)

    @property
    def mode(self) -> str:
        """How the encoder was used."""
        return "fine-tuned" if self.trains_encoder else "frozen"


class Match(NamedTuple):
    """What rows must share to be compared; twins are looked for in here."""

    pretraining: str
    backbone: str
    input: str
    calibration: str


class RowKey(NamedTuple):
    """Runs that differ in nothing but their seed."""

    match: Match
    pretext: str
    calibration: str
    recipe: str
    images_seen: int


class Gain(NamedTuple):
    """A row read against its twins: row − random, row − supervised, and the share of the gap between them.

    Seeds are those that row and twins have in common.
    """

    over_random: float | None
    interval: Interval | None
    over_supervised: float | None
    share: Share


@dataclass(frozen=True)
class Cell:
    """What stands in a table: the mean over seeds in [0, 1], its interval, and what must be said of it."""

    scores: Scores
    seeds: tuple[int, ...]
    stages: tuple[str, ...]
    interval: Interval | None
    flags: tuple[str, ...]
    verdict: Verdict | None = None
    best: bool = False
    gain: Gain | None = None

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return self.scores.mean


@dataclass(frozen=True)
class Row:
    """One line. rank and gain are None where the row, or the table, is not ranked."""

    key: RowKey
    label: str
    cells: Mapping[Column, Cell]
    covered: tuple[int, int]
    rank: float | None = None
    gain: float | None = None

    @property
    def twin(self) -> bool:
        """Whether it is there to read others against."""
        return self.key.pretext in TWINS

    @property
    def complete(self) -> bool:
        """Whether it has a score in every column of its group."""
        return self.covered[0] == self.covered[1]


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: same input, network, calibration and pretraining images."""

    match: Match
    rows: tuple[Row, ...]

    @property
    def pretext(self) -> tuple[Row, ...]:
        """Rows that compete."""
        return tuple(row for row in self.rows if not row.twin)

    @property
    def twins(self) -> tuple[Row, ...]:
        """Rows that the others are read against."""
        return tuple(row for row in self.rows if row.twin)


@dataclass(frozen=True)
class Board:
    """Everything the tables show.

    pooled: variance between seeds by column. codes: how many versions of the scoring code a column mixes.
    stages: mean score of every stage, where a protocol scores several.
    """

    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    blind: tuple[Row, ...]
    pooled: Mapping[Column, Pooled | None]
    codes: Mapping[Column, int]
    stages: Mapping[Column, Mapping[RowKey, Mapping[str, float]]]
    notes: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        """Whether any column may rank."""
        return any(column.ranks for column in self.columns)


def build(records: Sequence[Record]) -> Board:
    """Build the board of these records.

    Raises:
        ValueError: no record of a primary metric.
    """
    kept, notes = _newest([r for r in records if r.evaluation.primary])
    if not kept:
        raise ValueError("a leaderboard takes records of primary metrics; there are none")
    main = [r for r in kept if r.result.selected]
    cells = _cells(main)
    columns = tuple(sorted({column for _, column in cells}, key=_column_order))
    pooled = {c: pool(cell.scores.values for (key, at), cell in cells.items() if at == c) for c in columns}
    cells = {at: replace(cell, interval=interval(cell.scores, pooled[at[1]])) for at, cell in cells.items()}
    rows: dict[RowKey, dict[Column, Cell]] = defaultdict(dict)
    for (key, column), cell in cells.items():
        rows[key][column] = cell
    labels = _labels(rows)
    by_match: dict[Match, list[Row]] = defaultdict(list)
    blind: list[Row] = []
    for key, own in rows.items():
        row = Row(key, labels[key], own, (len(own), len(own)))
        (blind if key.pretext.startswith(BLIND) else by_match[key.match]).append(row)
    groups = [_group(match, by_match[match], pooled) for match in sorted(by_match)]
    return Board(
        columns,
        tuple(groups),
        tuple(sorted(blind, key=lambda row: row.label)),
        pooled,
        {c: len({r.provenance.scoring for r in main if column_of(r) == c}) for c in columns},
        _stage_curves(kept),
        notes,
    )


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
    match = Match(subject.pretraining, subject.backbone, subject.input, calibration)
    return RowKey(match, subject.pretext, subject.calibration, subject.recipe, subject.images_seen)


def _newest(records: Sequence[Record]) -> tuple[list[Record], tuple[str, ...]]:
    """One record for each row, column, stage, seed and draw: the newest, the others counted in a note."""
    newest: dict[object, Record] = {}
    for record in sorted(records, key=lambda r: (r.provenance.utc, r.evaluation.digest)):
        e, s = record.evaluation, record.subject
        newest[row_of(s), column_of(record), e.stage, s.seed, e.draw] = record
    dropped = len(records) - len(newest)
    note = f"{dropped} records were left out: a newer one has the same row, column, stage, seed and draw."
    return list(newest.values()), (note,) if dropped else ()


def _cells(records: Iterable[Record]) -> dict[tuple[RowKey, Column], Cell]:
    runs: dict[tuple[RowKey, Column], dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    columns = {column_of(r) for r in records if not r.subject.blind}
    for record in records:
        own = column_of(record)
        if record.subject.blind:
            same = [c for c in columns if c._replace(precision="") == own] or [own]
        else:
            same = [own]
        for column in same:
            runs[row_of(record.subject), column][record.subject.seed].append(record)
    return {at: _cell(seeds) for at, seeds in runs.items()}


def _cell(runs: Mapping[int, Sequence[Record]]) -> Cell:
    """Draws of a head are averaged within their pretraining seed."""
    seeds = tuple(sorted(runs))
    everything = [record for seed in seeds for record in runs[seed]]
    width = min(len(record.result.resampled) for record in everything)
    values = [float(np.mean([r.result.value for r in runs[seed]])) for seed in seeds]
    resampled = [np.mean([r.result.resampled[:width] for r in runs[seed]], axis=0) for seed in seeds]
    scores = Scores(np.array(values), np.array(resampled, dtype=np.float64).reshape(len(seeds), width))
    stages = tuple(dict.fromkeys(record.evaluation.stage for record in everything))
    flags = tuple(dict.fromkeys(flag for record in everything for flag in record.result.flags))
    return Cell(scores, seeds, stages, None, flags)


def _group(match: Match, rows: list[Row], pooled: Mapping[Column, Pooled | None]) -> Group:
    columns = {column for row in rows for column in row.cells}
    rows = [replace(row, covered=(len(row.cells), len(columns))) for row in rows]
    twins = {name: [row for row in rows if row.key.pretext == name] for name in TWINS}
    rows = [_with_gains(row, twins, pooled) for row in rows]
    rows = _with_best(rows, columns, pooled)
    rows = _with_ranks(rows, columns)
    return Group(match, tuple(sorted(rows, key=_row_order)))


def _with_gains(row: Row, twins: Mapping[str, list[Row]], pooled: Mapping[Column, Pooled | None]) -> Row:
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


def _with_best(
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


def _with_ranks(rows: Sequence[Row], columns: Iterable[Column]) -> list[Row]:
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


def _row_order(row: Row) -> tuple[bool, bool, float, float, str]:
    """Competing rows first: ranked ones by gain or else by rank, then the others by name."""
    gain = -row.gain if row.gain is not None else 0.0
    return (row.twin, row.rank is None, gain, row.rank or 0.0, row.label)


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


def _stage_curves(records: Iterable[Record]) -> dict[Column, dict[RowKey, dict[str, float]]]:
    """Mean score of every stage, over seeds and draws, in the order of the records."""
    found: dict[Column, dict[RowKey, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for record in records:
        if not record.subject.blind:
            own = found[column_of(record)][row_of(record.subject)]
            own[record.evaluation.stage].append(record.result.value)
    return {
        column: {
            key: {stage: float(np.mean(values)) for stage, values in own.items()} for key, own in rows.items()
        }
        for column, rows in found.items()
        if any(len(own) > 1 for own in rows.values())
    }
