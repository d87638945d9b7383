"""Published numbers to stand beside measured ones: read from a table, never computed, and said so."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from downstream.digest import digest, short
from downstream.leaderboard.board import Board, Column
from downstream.leaderboard.fields import Field
from downstream.leaderboard.sheets import Line, Section, Sheet, Text

DATA = Path(__file__).with_name("published.csv")
"""The numbers, as printed in percent."""

EXTERNAL = "external:"
"""Prefix of protocols that this suite does not have."""

_NUMBER = re.compile(r"\d+(\.\d+)?")

NAME = "published"
"""Beginning of the names of their sheets."""

HOW_TO_READ = (
    "As printed by its source, in %. Other networks, pretraining images, resolutions and budgets: these "
    "numbers stand beside the measured rows and rank with none."
)

REMEMBERED = "r"
"""The footnote of values that nobody compared with their source."""

OF_RECORDS: Mapping[tuple[str, ...], str] = {
    ("subject", "pretext"): "method", ("subject", "backbone"): "network",
    ("subject", "pretraining"): "pretraining",
    **{("evaluation", name): name for name in ("data", "task", "protocol", "metric", "stage")},
}  # fmt: skip
"""Fields of records that published numbers have too, by their names there."""

Head = tuple[str, ...]


class Published(NamedTuple):
    """One number of somebody else's.

    Attributes:
        data, task, metric: as columns of a board name them, where the suite has them.
        protocol: of this suite, or `external:…`. variant: what is known beyond that, or differs.
        method, network, pretraining: what was trained, on which images; empty where there was none.
        stage: that was read; empty for the last, or the best.
        value: in percent, as printed. spread: its ±, over `runs`; empty where none was printed.
        source: arXiv id, or a project on GitHub. checked: "read" at the source, or "remembered".
    """

    data: str
    task: str
    protocol: str
    variant: str
    metric: str
    method: str
    network: str
    pretraining: str
    stage: str
    value: str
    spread: str
    runs: str
    source: str
    checked: str


def read_published(path: Path = DATA) -> tuple[Published, ...]:
    """Every row of the table.

    Raises:
        ValueError: a header or a value that is not as it has to be; the message names file and line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        if tuple(lines.fieldnames or ()) != Published._fields:
            raise ValueError(f"{path}: the columns must be {', '.join(Published._fields)}")
        return tuple(_parse(line, f"{path.name}, line {lines.line_num}") for line in lines)


def _parse(line: dict[str, str], where: str) -> Published:
    for name in ("data", "task", "protocol", "metric", "method", "value", "source"):
        if not line[name]:
            raise ValueError(f"{where}: {name} is empty")
    if line["checked"] not in ("read", "remembered"):
        raise ValueError(f"{where}: checked must be read or remembered; it is {line['checked']!r}")
    for name in ("value", "spread"):
        if line[name] and not (_NUMBER.fullmatch(line[name]) and float(line[name]) <= 100):
            raise ValueError(f"{where}: {name} {line[name]!r} is not a number of percent")
    if line["runs"] and not line["runs"].isdecimal():
        raise ValueError(f"{where}: runs {line['runs']!r} is not a number of runs")
    return Published(**line)


def beside(board: Board, rows: Iterable[Published]) -> tuple[Published, ...]:
    """Rows on the data sets and tasks of a board's columns."""
    shown = {(column.data, column.task) for column in board.columns}
    return tuple(row for row in rows if (row.data, row.task) in shown)


def chosen_published(
    rows: Iterable[Published], where: Mapping[Field, Sequence[str]]
) -> tuple[tuple[Published, ...], list[str]]:
    """Rows that have one of the values asked for in each field, and how many are left out as they say none.

    Args:
        where: by field, values in the words of `fields.text`.
    """
    kept, notes = tuple(rows), []
    for field, values in where.items():
        name = OF_RECORDS.get(field.path)
        known = {row: getattr(row, name) for row in kept if name and getattr(row, name)}
        if len(known) < len(kept):
            notes.append(
                f"Published numbers left out since they say no {field.name}, by which records were chosen: "
                f"{len(kept) - len(known)}."
            )
        kept = tuple(row for row, value in known.items() if value in values)
    return kept, notes


def published_sheets(columns: Sequence[Column], rows: Sequence[Published]) -> list[Sheet]:
    """One sheet a data set, task and protocol; a section a network, variant and source.

    Args:
        columns: of the tables beside, by their numbers; none where these have others.
    """
    groups: dict[tuple[str, str, str], list[Published]] = defaultdict(list)
    for row in rows:
        groups[row.data, row.task, row.protocol].append(row)
    made = [_sheet(columns, group) for group in groups.values()]
    return [replace(sheet, notes=(HOW_TO_READ, *sheet.notes)) for sheet in made[:1]] + made[1:]


def published_csv(rows: Iterable[Published]) -> str:
    """One line a number, in percent as printed; `measured_here` is False in each."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([(*Published._fields, "measured_here"), *((*row, False) for row in rows)])
    return text.getvalue()


def _sheet(columns: Sequence[Column], rows: Sequence[Published]) -> Sheet:
    first = rows[0]
    heads = tuple(dict.fromkeys(_head(row) for row in rows))
    sections: dict[str, dict[tuple[str, str], dict[Head, Published]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        sections[_section_title(row)][row.method, _trained_on(row)][_head(row)] = row
    protocol = first.protocol.removeprefix(EXTERNAL)
    title = f"PUBLISHED, NOT MEASURED HERE: {first.data} · {first.task} · {protocol}"
    made = tuple(
        Section(
            name,
            tuple(
                Line(method, tuple(_text(own.get(head)) for head in heads), trained)
                for (method, trained), own in lines.items()
            ),
        )
        for name, lines in sections.items()
    )
    name = f"{NAME}_{short(digest([first.data, first.task, first.protocol]))}"
    return Sheet(name, title, heads, made, _notes(columns, rows))


def _head(row: Published) -> Head:
    return (row.stage, row.metric) if row.stage else (row.metric,)


def _section_title(row: Published) -> str:
    return " · ".join(part for part in (row.network, row.variant, row.source) if part)


def _trained_on(row: Published) -> str:
    return row.pretraining if row.pretraining not in ("", row.data, "imagenet") else ""


def _text(row: Published | None) -> Text:
    if row is None:
        return Text("–")
    spread = f"±{row.spread}" if row.spread else ""
    return Text(f"{row.value}{spread}", notes=REMEMBERED if row.checked == "remembered" else "")


def _notes(columns: Sequence[Column], rows: Sequence[Published]) -> tuple[str, ...]:
    first = rows[0]
    same = [f"({i})" for i, column in enumerate(columns, start=1) if _same_protocol(column, rows)]
    notes = []
    if same:
        notes.append(f"The protocol of column {', '.join(same)}, but for what a section's heading says.")
    elif first.protocol.startswith(EXTERNAL):
        notes.append("Not a protocol of this suite: no column is to be compared with it.")
    runs = sorted({row.runs for row in rows if row.runs}, key=int)
    if runs:
        notes.append(f"± over {', '.join(map(str, runs))} runs, as printed.")
    if any(row.checked == "remembered" for row in rows):
        notes.append(f"[{REMEMBERED}] remembered: not compared with the source.")
    return tuple(notes)


def _same_protocol(column: Column, rows: Sequence[Published]) -> bool:
    own = (column.data, column.task, column.protocol, column.metric)
    return any(own == (row.data, row.task, row.protocol, row.metric) for row in rows)
