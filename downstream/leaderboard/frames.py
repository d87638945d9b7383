"""Tidy frames for people who count for themselves: one line a cell, one line a record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from downstream.judge.plain import to_plain
from downstream.judge.records import Record
from downstream.leaderboard.board import Board, Cell, Column, Row
from downstream.leaderboard.statistics import Interval


def cells_frame(board: Board) -> pd.DataFrame:
    """One line a row and column of the board: value, interval and gains, in the metric's unit."""
    groups = [(row, "twin" if row.twin else "pretext") for group in board.groups for row in group.rows]
    rows = groups + [(row, "blind") for row in board.blind]
    return pd.DataFrame(
        [
            _row_fields(row, kind) | _column_fields(column) | _cell_fields(row.cells[column])
            for row, kind in rows
            for column in board.columns
            if column in row.cells
        ]
    )


def scores_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One line a record: every metric and stage, the resamples left out."""
    lines = []
    for record in records:
        line: dict[str, Any] = {}
        for part in ("subject", "evaluation", "data", "result", "cost"):
            of = getattr(record, part)
            line |= {
                f"{part}.{field.name}": _flat(getattr(of, field.name))
                for field in dataclasses.fields(of)
                if field.name != "resampled"
            }
        of = record.provenance
        lines.append(line | {"commit": of.commit, "dirty": of.dirty, "utc": of.utc, "scoring": of.scoring})
    return pd.DataFrame(lines)


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
        "average_rank": row.rank,
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
        "over_random": gain.over_random if gain else None,
        **_interval_fields("over_random_", gain.interval if gain else None),
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


def _flat(value: Any) -> Any:
    if isinstance(value, str | float | int | None):
        return value
    plain = to_plain(value)
    return json.dumps(plain, sort_keys=True) if isinstance(plain, dict | list) else plain
