"""What a board holds: columns of tasks and protocols, groups of rows, cells with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from downstream.leaderboard.statistics import Interval, Pooled, Scores, Share, Verdict
from downstream.protocol import FRACTION, SOLVED, Scale

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
        """Whether its scores may rank pretext tasks: real images, and a score of a task that is solved."""
        return not self.data.startswith(MACHINERY) and self.task in SOLVED

    @property
    def mode(self) -> str:
        """How the encoder was used."""
        return "fine-tuned" if self.trains_encoder else "frozen"


class Match(NamedTuple):
    """What rows must share to be compared; twins are looked for in here.

    images: digest of the pretraining images. budget: of the training; rows without any leave it empty and
    stand beside those of every budget.
    """

    pretraining: str
    images: str
    backbone: str
    input: str
    calibration: str
    budget: str


class RowKey(NamedTuple):
    """Runs that differ in nothing but their seed."""

    match: Match
    pretext: str
    calibration: str
    recipe: str
    images_seen: int


class Gain(NamedTuple):
    """A row read against its twins: row − random, row − supervised, and the share of the gap between them.

    Above 0 where the row is better: where less is better, differences have their sign turned.
    Seeds are those that row and twins have in common.
    """

    over_random: float | None
    interval: Interval | None
    over_supervised: float | None
    share: Share


@dataclass(frozen=True)
class Cell:
    """What stands in a table: the mean over seeds, its interval, and what must be said of it.

    scale: what the values mean. flags: with the share of the cell's records that each is true of.
    """

    scores: Scores
    seeds: tuple[int, ...]
    stages: tuple[str, ...]
    interval: Interval | None
    flags: Mapping[str, float]
    verdict: Verdict | None = None
    best: bool = False
    gain: Gain | None = None
    scale: Scale = FRACTION

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return self.scores.mean

    @property
    def merit(self) -> float:
        """The value, of which more is better."""
        return self.scale.merit(self.value)


@dataclass(frozen=True)
class Row:
    """One line. rank and gain are None where the row, or the table, is not ranked.

    twins: recipes of the rows that it is read against, by their names; empty where nobody said. covered: of
    how many columns that rank its group it has a score, and how many there are.
    """

    key: RowKey
    label: str
    cells: Mapping[Column, Cell]
    twins: Mapping[str, str]
    covered: tuple[int, int]
    rank: float | None = None
    gain: float | None = None

    @property
    def twin(self) -> bool:
        """Whether it is there to read others against."""
        return self.key.pretext in TWINS

    @property
    def complete(self) -> bool:
        """Whether it has a score in every column that ranks its group."""
        return self.covered[0] == self.covered[1]


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: same input, network, calibration, pretraining images and budget."""

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
    stages: mean score of every stage, where a protocol scores several. options: by column, what its protocol
    was set to, where another column has the same protocol with other settings. unlike: by column, in what its
    settings are not those of its protocol's YAML. scales: what the values of a column mean.
    """

    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    blind: tuple[Row, ...]
    pooled: Mapping[Column, Pooled | None]
    codes: Mapping[Column, int]
    stages: Mapping[Column, Mapping[RowKey, Mapping[str, float]]]
    options: Mapping[Column, str]
    unlike: Mapping[Column, str]
    scales: Mapping[Column, Scale]
    notes: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        """Whether any column may rank."""
        return any(column.ranks for column in self.columns)
