"""The table in README: the largest group of rows and its twins, wherever it stands in the sheet."""

from __future__ import annotations

from dataclasses import replace

from made_board import benchmark

from benchmarks.front import in_short
from downstream.leaderboard import build
from downstream.leaderboard.sheets import sheets


def test_the_largest_group_is_shown_with_its_twins() -> None:
    rows = benchmark()
    few = [r for r in rows if r.subject.pretext in ("rotation", "random", "supervised")]
    first, *_ = sheets(build([*rows, *(replace(r, subject=replace(r.subject, input="lab")) for r in few)]))
    assert len(first.sections) > 2
    assert "lab" in first.sections[0].title
    shown, twins = in_short(first).sections
    assert "lab" not in shown.title + twins.title
    assert {line.label for line in twins.lines} == {"random", "supervised"}
    assert len(shown.lines) == max(len(section.lines) for section in first.sections)
