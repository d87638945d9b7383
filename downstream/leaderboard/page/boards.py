"""A board as a page reads it: columns, groups, rows, and cells as the tables write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from downstream.digest import short
from downstream.judge.records import Record
from downstream.leaderboard.board import Board, Cell, Column, Gain, Row, RowKey
from downstream.leaderboard.captions import group_title, heads_of
from downstream.leaderboard.friedman import ENOUGH_SETS, bars
from downstream.leaderboard.page.parts import Part
from downstream.leaderboard.page.runs import Origins, metrics_beside, rounded, rows_data, scored
from downstream.leaderboard.sheets import Line, Sheet, Text
from downstream.leaderboard.statistics import Interval
from downstream.protocol import Direction, Scale

Classes = Mapping[str, Mapping[str, Sequence[str]]]
"""Names of classes by the digest of a test split, and by task."""
_OF_CLASS = re.compile(r"\w+_(\d+)", re.ASCII)


def board_data(part: Part, origins: Origins, classes: Classes) -> dict[str, Any]:
    """One board; values are in their metrics' units."""
    board = part.board
    found = scored(part.records)
    beside = metrics_beside(board.columns, found)
    behind = rows_data(board.columns, found, beside, origins)
    places = {key: place for place, key in enumerate(behind)}
    heads = heads_of(board)
    return {
        "title": part.title,
        "text": part.text,
        "command": part.command,
        "caption": part.scores.title,
        "notes": part.scores.notes,
        "ranked": board.ranked,
        "columns": [
            _column(board, column, head, metrics, classes)
            for column, head, metrics in zip(board.columns, heads, beside, strict=True)
        ],
        "groups": [group_title(group, board.groups) for group in board.groups],
        "rows": [
            _row(board, group, row, line, part.scores.summary) | {"behind": places[row.key]}
            for group, row, line in _lines(part)
        ],
        "behind": list(behind.values()),
        "stages": _stages(board, places),
        "sets": [
            {
                "group": place,
                "count": group.over_sets.sets,
                "p": rounded(group.over_sets.p),
                "difference": rounded(group.over_sets.difference),
                "bars": [[rounded(end) for end in bar] for bar in bars(group.over_sets)],
            }
            for place, group in enumerate(board.groups)
            if group.over_sets is not None
        ],
        "enough": ENOUGH_SETS,
        "view": list(map(_sheet, part.view)),
        "published": list(map(_sheet, part.published)),
    }


def _sheet(sheet: Sheet) -> dict[str, Any]:
    """A table as it is written."""
    return {
        "title": sheet.title,
        "heads": sheet.heads,
        "sections": [
            {"title": each.title, "lines": list(map(_written, each.lines))} for each in sheet.sections
        ],
        "notes": sheet.notes,
    }


def _written(line: Line) -> dict[str, Any]:
    told = ("body", "under", "notes", "mark", "bold")
    cells = [{name: getattr(text, name) for name in told} for text in line.cells]
    return {"label": line.label, "remark": line.remark, "cells": cells}


def _lines(part: Part) -> Iterator[tuple[int | None, Row, Line]]:
    """Rows in the order of the sheet, each with its group and how it is written there."""
    board = part.board
    rows: list[tuple[int | None, Row]] = [
        (place, row) for place, group in enumerate(board.groups) for row in (*group.pretext, *group.twins)
    ]
    rows += [(None, row) for row in board.blind]
    lines = [line for section in part.scores.sections for line in section.lines]
    for (group, row), line in zip(rows, lines, strict=True):
        yield group, row, line


def _column(
    board: Board, column: Column, head: tuple[str, ...], beside: Mapping[str, Record], classes: Classes
) -> dict[str, Any]:
    pooled = board.pooled[column]
    return {
        "head": head,
        "data": column.data,
        "task": column.task,
        "mode": column.mode,
        "protocol": column.protocol,
        "version": column.version,
        "settings": short(column.settings),
        "metric": column.metric,
        **_scale(board.scales[column]),
        "precision": column.precision,
        "images": column.images,
        "ranks": column.ranks,
        "differs": board.options.get(column, ""),
        "unlike": board.unlike.get(column, ""),
        "codes": board.codes[column],
        "df": pooled.df if pooled else None,
        "beside": [
            {"metric": name, **_scale(record.result.scale), **_class(name, record, classes)}
            for name, record in beside.items()
        ],
    }


def _class(metric: str, record: Record, classes: Classes) -> dict[str, str]:
    """The name of the class that a metric is of, where it is of one that has a name."""
    scored = record.data.digests[record.evaluation.split]
    names = classes.get(scored, {}).get(record.evaluation.task, ())
    found = _OF_CLASS.fullmatch(metric)
    return {"class": names[int(found[1])]} if found and int(found[1]) < len(names) else {}


def _scale(scale: Scale) -> dict[str, Any]:
    return {"unit": scale.unit, "lower": scale.direction is Direction.LOWER}


def _row(board: Board, group: int | None, row: Row, line: Line, summary: int) -> dict[str, Any]:
    kind = "twin" if row.twin else "pretext"
    cells = zip(board.columns, line.cells[summary:], strict=True)
    return {
        "label": row.label,
        "remark": line.remark,
        "kind": "blind" if group is None else kind,
        "group": group,
        "seeds": line.cells[0].body,
        "covered": row.covered,
        "rank": rounded(row.rank),
        "gain": rounded(row.gain),
        "cells": [
            {"column": place, **_cell(row.cells[column], text)}
            for place, (column, text) in enumerate(cells)
            if column in row.cells
        ],
    }


def _cell(cell: Cell, text: Text) -> dict[str, Any]:
    """As the sheet writes it, and in numbers; what is not there is left out."""
    plain = {
        "text": text.body,
        "notes": text.notes,
        "mark": text.mark,
        "ranks": text.under,
        "best": cell.best,
        "value": rounded(cell.value),
        **_interval("", cell.interval),
        "seeds": cell.seeds,
        "stages": [stage for stage in cell.stages if stage],
        "verdict": cell.verdict.value if cell.verdict else None,
        "flags": cell.flags,
        **_gain(cell.gain),
    }
    return {name: value for name, value in plain.items() if value or type(value) in (int, float)}


def _gain(gain: Gain | None) -> dict[str, Any]:
    if gain is None:
        return {}
    return {
        "over_random": rounded(gain.over_random),
        **_interval("over_random_", gain.interval),
        "over_supervised": rounded(gain.over_supervised),
        "share": rounded(gain.share.value),
        **_interval("share_", gain.share.interval),
    }


def _interval(prefix: str, interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {}
    return {
        f"{prefix}low": rounded(interval.low),
        f"{prefix}high": rounded(interval.high),
        f"{prefix}over": interval.kind.value,
    }


def _stages(board: Board, places: Mapping[RowKey, int]) -> list[dict[str, Any]]:
    """By column whose protocol scores several stages: the mean score of each, in their order."""
    return [
        {
            "column": place,
            "rows": [
                {"behind": places[key], "scores": [[stage, rounded(value)] for stage, value in curve.items()]}
                for key, curve in board.stages[column].items()
            ],
        }
        for place, column in enumerate(board.columns)
        if column in board.stages
    ]
