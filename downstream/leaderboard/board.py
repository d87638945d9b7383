"""What a board holds: columns of tasks and protocols, groups of rows, cells with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from downstream.leaderboard.families import Ranks
from downstream.leaderboard.friedman import MeanRanks
from downstream.leaderboard.statistics import Interval, Scores, Share
from downstream.leaderboard.variances import Pooled
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


class Verdict(Enum):
    """What may be said of a row beside the best one."""

    TOO_FEW = "too few runs to say"
    NOT_SEPARATED = "not separated from best"
    BELOW = "below best"


class Gain(NamedTuple):
    """A row read against its twins: row − random, row − supervised, and the share of the gap between them.

    Above 0 where the row is better: where less is better, differences have their sign turned.
    Seeds are those that row and twins have in common. separated: whether row and random differ, said of all
    rows of a section and column together; None of fewer than three seeds, and where nothing ranks.
    """

    over_random: float | None
    interval: Interval | None
    over_supervised: float | None
    share: Share
    separated: bool | None = None


@dataclass(frozen=True)
class Cell:
    """What stands in a table: the mean over seeds, its interval, and what must be said of it.

    scale: what the values mean. second: next to the one best row. flags: with the share of the cell's records
    that each is true of. ranks: among the rows of its section that have seeds enough; None of another, and
    where nothing ranks.
    """

    scores: Scores
    seeds: tuple[int, ...]
    stages: tuple[str, ...]
    interval: Interval | None
    flags: Mapping[str, float]
    verdict: Verdict | None = None
    best: bool = False
    second: bool = False
    ranks: Ranks | None = None
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
    """One line. place, rank and gain are None where the row, or the table, is not ranked.

    place: mean over data sets of its rank there, by which rows without a gain are in order; rank: the same
    where there are data sets enough to compare rows by it (`friedman`).
    twins: recipes of the rows that it is read against, by their names; empty where nobody said. covered: of
    how many columns that rank its group it has a score, and how many there are.
    """

    key: RowKey
    label: str
    cells: Mapping[Column, Cell]
    twins: Mapping[str, str]
    covered: tuple[int, int]
    place: float | None = None
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
    """Rows that may be compared: same input, network, calibration, pretraining images and budget.

    over_sets: of the rows that have a rank, in their order; None where there are too few data sets.
    """

    match: Match
    rows: tuple[Row, ...]
    over_sets: MeanRanks | None = None

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
    def over_sets(self) -> bool:
        """Whether the mean ranks of any group are compared."""
        return any(group.over_sets is not None for group in self.groups)

    @property
    def gained(self) -> bool:
        """Whether any row is read against both of its twins in all that ranks its group."""
        return any(row.gain is not None for group in self.groups for row in group.rows)

    @property
    def ranked(self) -> bool:
        """Whether any column may rank."""
        return any(column.ranks for column in self.columns)
