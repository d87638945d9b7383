"""Views of a board: rows, columns and sections made of other fields of its records; no scores are mixed.

What stands in a cell is what the board has there, with the interval and the marks that it has among the rows
that it may be compared with. Where a view tells apart what a cell of the board holds together (seeds, stages,
draws), each part is a board of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from downstream.judge.records import Record
from downstream.leaderboard import fields
from downstream.leaderboard.board import Board, Cell, Column, Match, Row, RowKey
from downstream.leaderboard.fields import Field
from downstream.leaderboard.tables import build, newest

STAGE = ("evaluation", "stage")
OF_MATCH = {
    ("subject", "pretraining"): "pretraining", ("subject", "pretraining_digest"): "images",
    ("subject", "backbone"): "backbone", ("subject", "input"): "input",
    ("subject", "calibration"): "calibration", ("subject", "budget"): "budget",
}  # fmt: skip
"""Fields that rows share to be compared; a row stands wherever the board has it."""

TELLING = (
    *(
        Field((part, name), name)
        for part, names in (
            (
                "subject",
                "pretext backbone input calibration pretraining pretraining_digest budget images_seen recipe",
            ),
            ("evaluation", "data task protocol version settings metric"),
            ("data", "digests"),
        )
        for name in names.split()
    ),
    Field(("evaluation", "precision"), "evaluation.precision"),
)
"""Fields by which two scores are told apart, and which are named where they meet in one cell."""
IMPLIED = {
    "recipe": ("pretext", "backbone", "input", "pretraining", "budget", "images_seen"),
    "images_seen": ("pretext", "pretraining", "budget"), "pretraining_digest": ("pretraining",),
    "digests": ("data",), "task": ("protocol",), "version": ("protocol",), "settings": ("protocol",),
    "metric": ("protocol",),
}  # fmt: skip
"""Fields that differ because others do."""


class View(NamedTuple):
    """What rows, columns and sections are made of: names of fields; those left empty are the board's own."""

    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(self)


class Axes(NamedTuple):
    """The fields of a view."""

    rows: tuple[Field, ...]
    columns: tuple[Field, ...]
    sections: tuple[Field, ...]

    @property
    def every(self) -> tuple[Field, ...]:
        """All of them."""
        return self.rows + self.columns + self.sections

    def has(self, path: tuple[str, ...]) -> bool:
        """Whether any is the field at that path."""
        return any(field.path == path for field in self.every)


class Section(NamedTuple):
    """The rows of a heading; twins and predictors without an encoder have their own, behind the others.

    Attributes:
        kind: "", "twins", the name of a twin, or `BLIND`.
        match: what its rows share, of fields that the view puts nowhere else; None under fields of the view.
        values: of the view's fields.
    """

    kind: str
    match: Match | None
    values: tuple[Any, ...]


BLIND = "encoder-blind predictors"


class Part(NamedTuple):
    """Records that a board is made of: values that all have alike, and whether they are only some."""

    values: Mapping[Field, Any]
    records: Sequence[Record]
    some: bool


@dataclass(frozen=True)
class Laid:
    """A view that is laid out.

    base: the board of all records. boards: what the cells are of: `base`, or one a value of what it mixes.
    columns: keys in their order, values of the view's fields or columns of the board. lines: cells by
    section, label and column. of: the board's columns that stand in each. absent: labels of predictors
    without an encoder that have no place among these columns.
    """

    axes: Axes
    base: Board
    boards: tuple[Board, ...]
    columns: tuple[Hashable, ...]
    lines: Mapping[Section, Mapping[str, Mapping[Hashable, Cell]]]
    of: Mapping[Hashable, tuple[Column, ...]]
    absent: tuple[str, ...]


class Spot(NamedTuple):
    """A cell, where a view has it, where the board has it, and the values of the `TELLING` fields."""

    section: Section
    label: str
    column: Hashable
    cell: Cell
    group: Match | None
    row: RowKey
    of: Column
    told: tuple[Any, ...]


def lay_out(base: Board, records: Sequence[Record], view: View) -> Laid:
    """Lay records out as a view says.

    Args:
        base: the board of these records.

    Raises:
        ValueError: no such field, one that is asked for twice, or two scores in one cell; the message names
            the fields by which those differ.
    """
    axes = Axes(*(tuple(fields.field(name, records) for name in names) for names in view))
    for place, field in enumerate(axes.every):
        if field.path in [other.path for other in axes.every[:place]]:
            raise ValueError(f"{field.name} cannot be two of rows, columns and sections")
    whole = {(group, row.key): row for group, row in _rows(base)}
    boards, spots = [], list[Spot]()
    for values, part, some in _parts(records, axes):
        board = build(part) if some else base
        boards.append(board)
        spots += _spots(part, board, axes, values, whole)
    order = {at: place for place, at in enumerate(whole)}
    spots.sort(key=lambda spot: order[spot.group, spot.row])
    placed = [spot for spot in spots if spot.column is not None]
    absent = dict.fromkeys(spot.label for spot in spots if spot.column is None)
    return _laid(axes, base, boards, placed, tuple(absent))


def _rows(board: Board) -> Iterator[tuple[Match | None, Row]]:
    """Every row with what its group shares, as tables have them: those that compete, twins, the blind."""
    for group in board.groups:
        for row in (*group.pretext, *group.twins):
            yield group.match, row
    for row in board.blind:
        yield None, row


def _laid(
    axes: Axes, base: Board, boards: Sequence[Board], spots: Sequence[Spot], absent: tuple[str, ...]
) -> Laid:
    places: dict[tuple[Section, str, Hashable], list[Spot]] = defaultdict(list)
    for spot in spots:
        places[spot.section, spot.label, spot.column].append(spot)
    lines: dict[Section, dict[str, dict[Hashable, Cell]]] = defaultdict(lambda: defaultdict(dict))
    of: dict[Hashable, dict[Column, None]] = defaultdict(dict)
    for (section, label, column), own in places.items():
        if len({(spot.row, spot.of) for spot in own}) > 1:
            raise ValueError(_meeting(axes, label, column, own))
        lines[section][label][column] = _one([spot.cell for spot in own])
        of[column] |= dict.fromkeys(spot.of for spot in own)
    columns = (
        sorted(of, key=lambda key: [fields.rank(value) for value in _values(key)])
        if axes.columns
        else [column for column in base.columns if column in of]
    )
    of_columns = {column: tuple(found) for column, found in of.items()}
    return Laid(axes, base, tuple(boards), tuple(columns), lines, of_columns, absent)


def _values(key: Hashable) -> tuple[Any, ...]:
    assert isinstance(key, tuple)
    return key


def _parts(records: Sequence[Record], axes: Axes) -> list[Part]:
    """Records by the values of those fields of a view that differ within a cell of the board.

    A record that such a field says nothing of belongs to every part. Of a view by stages every stage counts,
    not only the one that was chosen.
    """
    if axes.has(STAGE):
        records = [replace(r, result=replace(r.result, selected=True)) for r in records]
    kept = [placed for placed in newest(records)[0] if placed.record.result.selected]
    cells: dict[Hashable, list[Record]] = defaultdict(list)
    for placed in kept:
        cells[placed.row, placed.column].append(placed.record)
    mixed = [
        field
        for field in axes.every
        if any(len({_key(field.of(r)) for r in own if field.applies(r)}) > 1 for own in cells.values())
    ]
    found: dict[tuple[str, ...], dict[Field, Any]] = {}
    for record in (placed.record for placed in kept):
        if all(field.applies(record) for field in mixed):
            values = {field: field.of(record) for field in mixed}
            found.setdefault(tuple(map(_key, values.values())), values)
    ordered = sorted(found.values(), key=lambda own: [fields.rank(value) for value in own.values()])
    parts = [(values, [record for record in records if _has(record, values)]) for values in ordered]
    return [Part({**_alike(part, axes), **values}, part, bool(mixed)) for values, part in parts]


def _has(record: Record, values: Mapping[Field, Any]) -> bool:
    """Whether a record has these values, where it can have any."""
    return all(not f.applies(record) or _key(f.of(record)) == _key(value) for f, value in values.items())


def _alike(records: Sequence[Record], axes: Axes) -> dict[Field, Any]:
    """Fields of which all records that can have a value have the same."""
    found = {
        field: {_key(field.of(r)): field.of(r) for r in records if field.applies(r)} for field in axes.every
    }
    return {field: next(iter(values.values())) for field, values in found.items() if len(values) == 1}


def _key(value: Any) -> str:
    """A value, lists and mappings too, as something to compare and to find by."""
    return f"{type(value).__name__} {value!r}"


def _spots(
    records: Sequence[Record],
    board: Board,
    axes: Axes,
    values: Mapping[Field, Any],
    whole: Mapping[tuple[Match | None, RowKey], Row],
) -> Iterator[Spot]:
    """Every cell of a board, with its place in the view; without a column where it has none.

    Args:
        values: of the fields that all records of the part have alike.
        whole: rows of all parts together, by group; where a row stands, what it is called, and whether there
            is one twin that it may be read against are asked of these.
    """
    example = {(placed.row, placed.column): placed.record for placed in newest(records)[0]}
    for group, row in _rows(board):
        at = [group] if (group, row.key) in whole else [match for match, key in whole if key == row.key]
        for match, (column, cell) in product(at, row.cells.items()):
            of = whole[match, row.key]
            record = example.get((row.key, column)) or example[row.key, column._replace(precision="")]
            told = partial(_told, of.label, record, match, values)
            nowhere = not all(f in values or f.applies(record) or match for f in axes.columns)
            yield Spot(
                _section(match, of, axes, told(axes.sections)),
                # A predictor without an encoder has no name but its own.
                " · ".join(map(fields.text, told(axes.rows))) if axes.rows and match else of.label,
                None if nowhere else told(axes.columns) or column,
                cell if of.cells[column].gain else replace(cell, gain=None),
                match,
                row.key,
                column,
                _told(record.subject.pretext, record, match, values, TELLING),
            )


def _told(
    name: str, record: Record, match: Match | None, values: Mapping[Field, Any], own: Sequence[Field]
) -> tuple[Any, ...]:
    """What a cell stands under by these fields.

    Args:
        name: of the row, in which several recipes of one pretext task are told apart.
    """
    return tuple(_value(field, name, record, match, values) for field in own)


def _value(field: Field, name: str, record: Record, match: Match | None, values: Mapping[Field, Any]) -> Any:
    """What a cell stands under; what a part has alike is everybody's there.

    Args:
        name: of the row, in which several recipes of one pretext task are told apart.
    """
    if field.path == fields.NAME:
        found: Any = name
    elif field in values:
        found = values[field]
    elif match is not None and field.path in OF_MATCH:
        found = getattr(match, OF_MATCH[field.path])
    else:
        found = field.of(record) if field.applies(record) else None
    return fields.text(found) if isinstance(found, list | tuple | dict) else found


def _section(match: Match | None, row: Row, axes: Axes, values: tuple[Any, ...]) -> Section:
    """Under which heading a row stands: what it is matched by, or the view's own fields."""
    if match is None:
        return Section(BLIND, None, ())
    kind = ""
    if row.twin and fields.NAME not in [field.path for field in axes.columns + axes.sections]:
        named = not axes.rows or fields.NAME in [field.path for field in axes.rows]
        kind = "twins" if named else f"twin {row.label}"
    if axes.sections:
        return Section(kind, None, values)
    told = {OF_MATCH[field.path]: "" for field in axes.rows + axes.columns if field.path in OF_MATCH}
    if "pretraining" in told:
        told["images"] = ""
    return Section(kind, match._replace(**told), ())


def _one(cells: Sequence[Cell]) -> Cell:
    """The cell of a row that stands in several groups of the board, without marks that it has not in all."""
    first, *others = cells
    for other in others:
        if (other.best, other.second, other.verdict, other.ranks) != (
            first.best,
            first.second,
            first.verdict,
            first.ranks,
        ):
            first = replace(first, best=False, second=False, verdict=None, ranks=None)
        if other.gain != first.gain:
            first = replace(first, gain=None)
    return first


def _meeting(axes: Axes, label: str, column: Hashable, spots: Sequence[Spot]) -> str:
    """Say that several scores meet in one cell, and by which fields they differ."""
    differing = {
        field.name: found
        for place, field in enumerate(TELLING)
        if len(found := dict.fromkeys(fields.text(spot.told[place]) for spot in spots)) > 1
    }
    by = "; ".join(
        f"{name} ({', '.join(fields.in_order(found))})"
        for name, found in differing.items()
        if not differing.keys() & set(IMPLIED.get(name, ()))
    )
    head = f", column {' · '.join(map(fields.text, _values(column)))}" if axes.columns else ""
    scores = len({(spot.row, spot.of) for spot in spots})
    return (
        f"{scores} scores meet in one cell (row {label}{head}) and are not averaged: they differ in {by}. "
        "Make rows, columns or sections of that too, or choose one"
    )
