"""A view of a board as tables: scores, and gains over the random twin."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from downstream.leaderboard import fields
from downstream.leaderboard.board import Cell, Column, Group
from downstream.leaderboard.captions import (
    described,
    gains_in_short,
    group_title,
    heads_of,
    in_short,
    on_cells,
    on_columns,
    on_gains,
    on_machinery,
    on_versions,
    several_scales,
    spread_of,
)
from downstream.leaderboard.sheets import Footnotes, Line, Sheet, Text, gain_text, score_text
from downstream.leaderboard.sheets import Section as Shown
from downstream.leaderboard.units import metric_name
from downstream.leaderboard.views import BLIND, OF_MATCH, STAGE, Laid, Section

NAME = "view"
"""Beginning of the names of these tables."""
SEEDS = ("subject", "seed")
COMPARED = (
    "Bold, ≈ and # compare rows of one network, input, pretraining set and budget under one protocol on one "
    "data set, wherever they stand here."
)
STAGES = (
    "Every stage, not only the one chosen on val; where resamples were drawn of the chosen one alone, there "
    "is no interval, and nothing is said of rows beside the best."
)


def view_sheets(laid: Laid) -> list[Sheet]:
    """The scores of a view, and, where anything is read against a twin, the gains."""
    footnotes = Footnotes()
    summary = () if laid.axes.has(SEEDS) else (("n",),)
    sections = [
        Shown(_title(laid, section), tuple(_line(laid, label, own, footnotes) for label, own in rows.items()))
        for section, rows in laid.lines.items()
    ]
    units = " in % (higher is better)" + ", where a head says nothing else" * several_scales(laid.base)
    title = f"Scores{units}: {_named(laid)}"
    known = (*footnotes.notes(), *_on_absent(laid), *laid.base.notes)
    notes, short = (*_how_to_read(laid), *known), (*_in_short(laid), *known)
    scores = Sheet(NAME, title, (*summary, *_heads(laid)), tuple(sections), notes, len(summary), short)
    return [scores, *([_gains(laid)] if any(cell.gain for cell in _cells(laid)) else [])]


def _how_to_read(laid: Laid) -> list[str]:
    return [
        *on_cells(_cells(laid)),
        COMPARED,
        *([STAGES] if laid.axes.has(STAGE) else []),
        *on_versions(_all_columns(laid)),
        *on_machinery(_all_columns(laid)),
        *(f"Scores: {described(laid.base, c, spread_of(laid.boards, c))}" for c in _all_columns(laid)),
    ]


def _in_short(laid: Laid) -> list[str]:
    columns = _all_columns(laid)
    return [*in_short(_cells(laid), laid.base, columns), on_columns(laid.base, columns)]


def _cells(laid: Laid) -> list[Cell]:
    """What the view shows."""
    return [cell for rows in laid.lines.values() for own in rows.values() for cell in own.values()]


def _line(laid: Laid, label: str, own: Mapping[Hashable, Cell], footnotes: Footnotes) -> Line:
    cells = tuple(score_text(own.get(column), footnotes) for column in laid.columns)
    if laid.axes.has(SEEDS):
        return Line(label, cells)
    counts = sorted({cell.scores.n for cell in own.values()})
    return Line(label, (Text("–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))), *cells))


def _gains(laid: Laid) -> Sheet:
    sections = []
    for section, rows in laid.lines.items():
        lines = tuple(
            Line(label, tuple(gain_text(own.get(column)) for column in laid.columns))
            for label, own in rows.items()
            if any(cell.gain for cell in own.values())
        )
        sections += [Shown(_title(laid, section), lines)] if lines else []
    title = f"Gain over the random twin, in points: {_named(laid)}"
    notes, short = on_gains(_cells(laid)), gains_in_short(_cells(laid))
    return Sheet(f"{NAME}_gains", title, _heads(laid), tuple(sections), notes, short=short)


def _heads(laid: Laid) -> tuple[tuple[str, ...], ...]:
    """The values of a column's fields, and its metric where not all have the same."""
    if not laid.axes.columns:
        heads = dict(zip(laid.base.columns, heads_of(laid.base), strict=True))
        return tuple(heads[column] for column in laid.columns if isinstance(column, Column))
    metrics = {
        column: {metric_name(each.metric, laid.base.scales[each]) for each in laid.of[column]}
        for column in laid.columns
    }
    told = len(set().union(*metrics.values())) > 1 or several_scales(laid.base)
    return tuple(
        (*map(fields.text, column), *(metrics[column] if told and len(metrics[column]) == 1 else ()))
        for column in laid.columns
        if isinstance(column, tuple)
    )


def _title(laid: Laid, section: Section) -> str:
    if section.kind == BLIND:
        return BLIND
    if section.match is None:
        of = zip(laid.axes.sections, section.values, strict=True)
        title = " · ".join(f"{field.name} {fields.text(value)}" for field, value in of)
    else:
        without = [OF_MATCH[f.path] for f in (*laid.axes.rows, *laid.axes.columns) if f.path in OF_MATCH]
        groups = [group for board in laid.boards for group in board.groups]
        title = group_title(Group(section.match, ()), groups, without)
    return " · ".join(part for part in (section.kind, title) if part)


def _named(laid: Laid) -> str:
    """What rows and columns, and sections if it was asked, are made of."""
    names = [", ".join(field.name for field in own) for own in laid.axes]
    rows, columns = names[0] or "pretext tasks", names[1] or "protocols"
    return f"{rows} by {columns}" + (f", in sections by {names[2]}" if names[2] else "")


def _all_columns(laid: Laid) -> Sequence[Column]:
    there = {column for found in laid.of.values() for column in found}
    return [column for column in laid.base.columns if column in there]


def _on_absent(laid: Laid) -> list[str]:
    if not laid.absent:
        return []
    made = ", ".join(field.name for field in laid.axes.columns)
    return [f"Without a place in columns by {made}, since they see no encoder: {', '.join(laid.absent)}."]
