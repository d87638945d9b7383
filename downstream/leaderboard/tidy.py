"""Tidy tables for people who count for themselves: one line a cell, one line a record.

They are written without pandas, which takes longer to import than all tables to make.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import operator
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from downstream.judge.records import Record
from downstream.leaderboard.board import Board, Cell, Column, Row
from downstream.leaderboard.parquet import parquet
from downstream.leaderboard.statistics import Interval

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("subject", "evaluation", "data", "result", "cost", "provenance")
LEFT_OUT = {"result": {"resampled"}, "provenance": {"config", "versions", "weights"}}
"""Fields of a record's parts that its line has not."""
UNNAMED = "provenance"
"""The part whose fields stand under their own names alone."""
NUMBERS = frozenset({int, float, bool})
SCALARS = NUMBERS | {str, type(None)}


def cells_frame(board: Board) -> pd.DataFrame:
    """One line a row and column of the board: value, interval and gains, in the metric's unit."""
    import pandas as pd

    return pd.DataFrame(_cells(board))


def cells_csv(boards: Sequence[Board]) -> str:
    """`cells_frame` as CSV, of the cells of these boards."""
    return _csv(_lines(boards))


def cells_json(boards: Sequence[Board]) -> bytes:
    """The same as a list of objects, one line a cell."""
    return _json(map(msgspec.json.encode, _lines(boards)))


def cells_parquet(boards: Sequence[Board]) -> bytes:
    """The same as Parquet."""
    return parquet(_lines(boards))


def _lines(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Every cell of these boards; of several boards, one that more than one has is there once."""
    if len(boards) == 1:
        return _cells(boards[0])
    lines = [line for board in boards for line in _cells(board)]
    return list({repr(line): line for line in lines}.values())


def scores_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One line a record: every metric and stage, the resamples left out."""
    import pandas as pd

    return pd.DataFrame(_scores(records), columns=_score_keys())


def scores_parquet(records: Sequence[Record]) -> bytes:
    """The same as Parquet."""
    return parquet(_scores(records))


def _scores(records: Iterable[Record]) -> list[dict[str, Any]]:
    keys = _score_keys()
    return [
        dict(zip(keys, (_flat(value) for name in PARTS for value in _fields(name).of(record)), strict=True))
        for record in records
    ]


def _score_keys() -> list[str]:
    return [key for name in PARTS for key in _fields(name).keys]


def scores_csv(records: Sequence[Record]) -> str:
    """`scores_frame` as CSV; what records have alike is written down once."""
    lines = [_line(_score_keys())]
    parts: dict[int, str] = {}
    texts: dict[int | str, str] = {}
    for record in records:
        written = []
        for name in PARTS:
            at = id(getattr(record, name))
            if (text := parts.get(at)) is None:
                text = parts[at] = ",".join([_written(value, texts) for value in _fields(name).of(record)])
            written.append(text)
        lines.append(",".join(written))
    return "\n".join((*lines, ""))


def scores_json(records: Sequence[Record]) -> bytes:
    """The lines of `scores_frame` as a list of objects; what records have alike is written down once.

    What a line of CSV holds as JSON is there itself.
    """
    parts: dict[int, bytes] = {}
    mappings: dict[int, msgspec.Raw] = {}
    lines = []
    for record in records:
        written = []
        for name in PARTS:
            at = id(getattr(record, name))
            if (text := parts.get(at)) is None:
                own = _struct(name)(*[_once(value, mappings) for value in _fields(name).of(record)])
                text = parts[at] = msgspec.json.encode(own)[1:-1]
            written.append(text)
        lines.append(b"{" + b",".join(written) + b"}")
    return _json(lines)


def _once(value: Any, known: dict[int, msgspec.Raw]) -> Any:
    """A value to be encoded; mappings are, once, since records share them."""
    if type(value) is not dict:
        return value
    if (found := known.get(id(value))) is None:
        found = known[id(value)] = msgspec.Raw(msgspec.json.encode(value))
    return found


@functools.cache
def _struct(name: str) -> type[msgspec.Struct]:
    """What is encoded as the object of a record's part, by the names of its line."""
    keys = _fields(name).keys
    fields = [f"f{place}" for place in range(len(keys))]
    return msgspec.defstruct(name, fields, rename=dict(zip(fields, keys, strict=True)))


class Fields(NamedTuple):
    """The fields of a record's part that stand in its line: their names there, and how to get them."""

    keys: tuple[str, ...]
    of: Callable[[Record], tuple[Any, ...]]


@functools.cache
def _fields(name: str) -> Fields:
    kind = typing.get_type_hints(Record)[name]
    own = [f.name for f in dataclasses.fields(kind) if f.name not in LEFT_OUT.get(name, ())]
    keys = own if name == UNNAMED else [f"{name}.{field}" for field in own]
    return Fields(tuple(keys), operator.attrgetter(*(f"{name}.{field}" for field in own)))


def _flat(value: Any) -> Any:
    """A scalar as it is, anything else as JSON."""
    return value if type(value) in SCALARS else msgspec.json.encode(value, order="sorted").decode()


def _written(value: Any, known: dict[int | str, str]) -> str:
    """A value as it stands in CSV.

    Args:
        known: what stands for texts, and for mappings by their addresses.
    """
    if type(value) in NUMBERS:
        return repr(value)
    if value is None:
        return ""
    key = value if type(value) is str else id(value)
    if (text := known.get(key)) is None:
        text = _line([_flat(value), ""])[:-1]
        if type(value) in (str, dict):  # a tuple may be gone, and another at its address
            known[key] = text
    return text


def _cells(board: Board) -> list[dict[str, Any]]:
    groups = [(row, "twin" if row.twin else "pretext") for group in board.groups for row in group.rows]
    rows = groups + [(row, "blind") for row in board.blind]
    return [
        _row_fields(row, kind) | _column_fields(column) | _cell_fields(row.cells[column])
        for row, kind in rows
        for column in board.columns
        if column in row.cells
    ]


def _row_fields(row: Row, kind: str) -> dict[str, Any]:
    match = row.key.match
    return {
        "kind": kind,
        "pretext": row.key.pretext,
        "label": row.label,
        "backbone": match.backbone,
        "input": match.input,
        "calibration": row.key.calibration,
        "pretraining": match.pretraining,
        "pretraining_digest": match.images,
        "budget": match.budget,
        "images_seen": row.key.images_seen,
        "recipe": row.key.recipe,
        "covered": row.covered[0],
        "of": row.covered[1],
        "mean_rank": row.rank,
        "average_gap_share": row.gain,
    }


def _column_fields(column: Column) -> dict[str, Any]:
    return {
        "data": column.data,
        "task": column.task,
        "mode": column.mode,
        "protocol": column.protocol,
        "version": column.version,
        "settings": column.settings,
        "metric": column.metric,
        "precision": column.precision,
        "test_images": column.images,
        "ranks": column.ranks,
    }


def _cell_fields(cell: Cell) -> dict[str, Any]:
    gain = cell.gain
    return {
        "unit": cell.scale.unit,
        "direction": cell.scale.direction.value,
        "value": cell.value,
        **_interval_fields("", cell.interval),
        "n": cell.scores.n,
        "seeds": " ".join(map(str, cell.seeds)),
        "stages": " ".join(cell.stages),
        "best": cell.best,
        "verdict": cell.verdict.value if cell.verdict else "",
        # As a frame writes whole numbers of which some are missing.
        "rank_low": float(cell.ranks.low) if cell.ranks else None,
        "rank_high": float(cell.ranks.high) if cell.ranks else None,
        "rank_of": float(cell.ranks.of) if cell.ranks else None,
        "over_random": gain.over_random if gain else None,
        **_interval_fields("over_random_", gain.interval if gain else None),
        "over_random_separated": gain.separated if gain else None,
        "over_supervised": gain.over_supervised if gain else None,
        "gap_share": gain.share.value if gain else None,
        **_interval_fields("gap_share_", gain.share.interval if gain else None),
        "flags": " ".join(f"{flag}@{share:g}" if share < 1 else flag for flag, share in cell.flags.items()),
    }


def _interval_fields(prefix: str, interval: Interval | None) -> dict[str, Any]:
    return {
        f"{prefix}low": interval.low if interval else None,
        f"{prefix}high": interval.high if interval else None,
        f"{prefix}over": interval.kind.value if interval else "",
        f"{prefix}df": interval.df if interval else None,
        f"{prefix}between": interval.between.value if interval and interval.between else "",
    }


def _csv(lines: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join((*map(_line, lines[:1]), *(_line(line.values()) for line in lines), ""))


def _json(lines: Iterable[bytes]) -> bytes:
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


class _Echo:
    """A file that hands back what is written to it."""

    @staticmethod
    def write(text: str) -> str:
        return text


_WRITER = csv.writer(_Echo, lineterminator="\n")


def _line(values: Iterable[Any]) -> str:
    """The values as one line of CSV, without its end."""
    line: str = _WRITER.writerow(values)
    return line[:-1]
