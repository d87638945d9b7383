"""What each table says, before any renderer decides how it looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from downstream.digest import digest, short
from downstream.judge.flags import ZERO_WIDTH, meaning
from downstream.leaderboard.board import Board, Cell, Row, Verdict
from downstream.leaderboard.captions import (
    IMAGES_ONLY,
    NOT_APART,
    OWN_SPREAD,
    apart,
    cells_of,
    gains_in_short,
    group_title,
    heads_of,
    how_to_read,
    in_short,
    legend,
    on_columns,
    on_gains,
    several_scales,
)
from downstream.leaderboard.families import Ranks
from downstream.leaderboard.statistics import Interval, Kind
from downstream.leaderboard.units import in_unit, number, with_interval
from downstream.leaderboard.variances import Between

LETTERS = "abcdefghjklmnoprstuwxyz"
"""Footnote letters; i and v are taken and q has no superscript."""
SOME = "'"
"""Beside a footnote letter: true of some of the runs behind a cell."""
_COUNT = re.compile(r"\d{1,15}", re.ASCII)
Kindred = tuple[str, ...]
"""What stands around the numbers of flags that differ in these alone."""


@dataclass(frozen=True)
class Text:
    """What stands in a cell: a body, a second line, and footnote letters; `mark` is ≈.

    second: of the second best row, which LaTeX underlines.
    """

    body: str = ""
    under: str = ""
    notes: str = ""
    mark: str = ""
    bold: bool = False
    second: bool = False


@dataclass(frozen=True)
class Line:
    """A row: its label, a remark on it, its cells."""

    label: str
    cells: tuple[Text, ...]
    remark: str = ""


@dataclass(frozen=True)
class Section:
    """Rows under one heading."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Sheet:
    """A table: column heads of several lines each, sections of rows, notes below.

    The first `summary` columns stay beside the labels when a narrow page splits the others. short: what
    stands in place of the notes where it is only said what must be known; None for the notes themselves.
    """

    name: str
    title: str
    heads: tuple[tuple[str, ...], ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    summary: int = 0
    short: tuple[str, ...] | None = None

    def with_notes(self, notes: Iterable[str]) -> Sheet:
        """The same with more to be known."""
        more = tuple(notes)
        short = None if self.short is None else self.short + more
        return replace(self, notes=self.notes + more, short=short)


@dataclass
class Footnotes:
    """Letters for flags, in the order in which they are first met; flags that differ in numbers share one."""

    letters: dict[Kindred, str] = field(default_factory=dict)
    counts: dict[Kindred, list[set[int]]] = field(default_factory=dict)
    partial: bool = False

    def of(self, flags: Mapping[str, float]) -> str:
        """The letters of these flags, each with `SOME` where its share of the runs is not all of them."""
        shares: dict[str, float] = {}
        for flag, share in flags.items():
            kind = self._kind(flag)
            shares[self.letters[kind]] = shares.get(self.letters[kind], 0.0) + share
        some = {letter for letter, share in shares.items() if share < 1 - 1e-9}
        self.partial |= bool(some)
        return "".join(letter + SOME * (letter in some) for letter in shares)

    def notes(self) -> list[str]:
        """One line a letter, with the least and the largest of each number in its flags."""
        lines = [f"[{letter}] {meaning(self._flag(kind))}." for kind, letter in self.letters.items()]
        return lines + [f"[a{SOME}] of some of a row's runs, not of all."] * self.partial

    def _kind(self, flag: str) -> Kindred:
        kind = tuple(_COUNT.split(flag))
        if kind not in self.letters:
            used = len(self.letters)
            self.letters[kind] = LETTERS[used] if used < len(LETTERS) else "*"
        counts = [int(count) for count in _COUNT.findall(flag)]
        for found, count in zip(self.counts.setdefault(kind, [set() for _ in counts]), counts, strict=True):
            found.add(count)
        return kind

    def _flag(self, kind: Kindred) -> str:
        ranges = (sorted({min(found), max(found)}) for found in self.counts[kind])
        words = [" to ".join(map(str, ends)) for ends in ranges]
        return "".join(text + word for text, word in zip(kind, (*words, ""), strict=True))


def sheets(board: Board) -> list[Sheet]:
    """All tables of a board: the main one, gains over the twins, the view across inputs, stage curves."""
    made = [main_sheet(board)]
    if any(cell.gain for group in board.groups for row in group.rows for cell in row.cells.values()):
        made.append(gain_sheet(board))
    if len({group.match.input for group in board.groups}) > 1:
        made.append(across_sheet(board))
    return made + stage_sheets(board)


def main_sheet(board: Board) -> Sheet:
    """Scores by group; twins and encoder-blind predictors in sections of their own."""
    footnotes = Footnotes()
    sections = []
    for group in board.groups:
        title = group_title(group, board.groups)
        lines = [_score_line(board, row, footnotes) for row in group.pretext]
        twins = [_score_line(board, row, footnotes) for row in group.twins]
        sections += [Section(title, tuple(lines))] if lines else []
        sections += [Section(f"twins · {title}", tuple(twins))] if twins else []
    if board.blind:
        blind = tuple(_score_line(board, row, footnotes) for row in board.blind)
        sections.append(Section("encoder-blind predictors", blind))
    summary = (("n",), *([("rank",)] if board.over_sets else ()), *([("gain",)] if board.gained else ()))
    heads = summary + heads_of(board)
    told = (*footnotes.notes(), *board.notes)
    notes = (*how_to_read(board), *legend(board), *told)
    cells = cells_of(board)
    short = (*in_short(cells, board, board.columns, board.gained), on_columns(board, board.columns), *told)
    title = "Scores in % (higher is better)" + ", where a head says nothing else" * several_scales(board)
    return Sheet("scores", title, heads, tuple(sections), notes, len(summary), short)


def gain_sheet(board: Board) -> Sheet:
    """Every row read against its twins."""
    sections = []
    for group in board.groups:
        lines = [
            Line(row.label, tuple(gain_text(row.cells.get(column)) for column in board.columns))
            for row in group.pretext
        ]
        if lines:
            sections.append(Section(group_title(group, board.groups), tuple(lines)))
    return Sheet(
        "gains",
        "Gain over the random twin, in points",
        heads_of(board),
        tuple(sections),
        on_gains(cells_of(board)),
        short=gains_in_short(cells_of(board)),
    )


def across_sheet(board: Board) -> Sheet:
    """The same scores by pretext task, over inputs, networks and pretraining images: nothing is matched."""
    names = dict.fromkeys(row.key.pretext for group in board.groups for row in group.rows)
    sections = []
    for name in names:
        lines = [
            Line(
                " · ".join((apart(group, board.groups), *([row.label] * (row.label != name)))),
                tuple(score_text(row.cells.get(c), None) for c in board.columns),
            )
            for group in board.groups
            for row in group.rows
            if row.key.pretext == name
        ]
        sections.append(Section(name, tuple(lines)))
    notes = (
        "These rows see different channels of an image, or differ in network or pretraining images. A "
        "difference between them is not the pretext task's alone: nothing here is ranked, marked or bold.",
    )
    return Sheet(
        "across_inputs",
        "NOT MATCHED: across input spaces",
        heads_of(board),
        tuple(sections),
        notes,
    )


def stage_sheets(board: Board) -> list[Sheet]:
    """One table a column whose protocol scores several stages."""
    made = []
    for column in board.columns:
        if column not in board.stages:
            continue
        curves = board.stages[column]
        stages = tuple(dict.fromkeys(stage for own in curves.values() for stage in own))
        sections = []
        for group in board.groups:
            lines = [
                _stage_line(row, row.cells[column], curves[row.key], stages)
                for row in group.rows
                if column in row.cells
            ]
            if lines:
                sections.append(Section(group_title(group, board.groups), tuple(lines)))
        title = f"Stages: {column.data} · {column.task} · {column.mode} · {column.protocol} · {column.metric}"
        notes = (
            "Bold: the stage chosen on val, by each seed for itself. The last column is the fixed last "
            f"stage. Means over seeds, {in_unit(board.scales[column])}.",
        )
        name = f"stages_{column.data}_{column.protocol}_{short(digest(list(column)))}"
        made.append(Sheet(name, title, tuple((stage,) for stage in stages), tuple(sections), notes))
    return made


def _score_line(board: Board, row: Row, footnotes: Footnotes) -> Line:
    counts = sorted({cell.scores.n for cell in row.cells.values()})
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    summary = [Text(n)]
    if board.over_sets:
        summary.append(Text("" if row.rank is None else f"{row.rank:.1f}"))
    if board.gained:
        summary.append(Text("" if row.gain is None else f"{100 * row.gain:.0f}%"))
    cells = [score_text(row.cells.get(column), footnotes) for column in board.columns]
    remark = (
        "" if row.complete else f"{row.covered[0]}/{row.covered[1]}" + ("" if row.twin else ", not ranked")
    )
    return Line(row.label, (*summary, *cells), remark)


def score_text(cell: Cell | None, footnotes: Footnotes | None) -> Text:
    """A score as it is written; without footnotes neither flags, marks nor bold are shown."""
    if cell is None:
        return Text("–")
    notes = _basis(cell.interval)
    body = with_interval(cell.value, cell.interval, cell.scale)
    if footnotes is None:
        return Text(body, notes=notes)
    mark = NOT_APART if cell.verdict is Verdict.NOT_SEPARATED else ""
    under = "" if cell.ranks is None else f"#{_reach(cell.ranks)}"
    zero = {ZERO_WIDTH: 1.0} if cell.interval is not None and cell.interval.zero_width else {}
    return Text(body, under, notes + footnotes.of({**cell.flags, **zero}), mark, cell.best, cell.second)


def gain_text(cell: Cell | None) -> Text:
    """What a row gained over its random twin; below, its share of the gap."""
    if cell is None or cell.gain is None:
        return Text("–")
    gain = cell.gain
    if gain.over_random is None:
        return Text("–")
    sign = "" if gain.over_random < 0 else "+"
    share = "–" if gain.share.value is None else f"{100 * gain.share.value:.0f}%"
    notes = _basis(gain.interval)
    body = sign + with_interval(gain.over_random, gain.interval, cell.scale)
    return Text(body, share, notes, NOT_APART if gain.separated is False else "")


def _reach(ranks: Ranks) -> str:
    return str(ranks.low) if ranks.low == ranks.high else f"{ranks.low}–{ranks.high}"


def _basis(interval: Interval | None) -> str:
    """The footnote that says what an interval is over, or rests on, where that is not the usual."""
    if interval is None:
        return ""
    if interval.kind is Kind.IMAGES:
        return IMAGES_ONLY
    return OWN_SPREAD if interval.between is Between.OWN else ""


def _stage_line(row: Row, cell: Cell, curve: Mapping[str, float], stages: Sequence[str]) -> Line:
    cells = tuple(
        Text(number(curve[stage], cell.scale), bold=stage in cell.stages) if stage in curve else Text("–")
        for stage in stages
    )
    return Line(row.label, cells)
