"""Twins of the board: which rows are read against which, and what they gain."""

from dataclasses import replace

import pytest
from made_board import COLUMNS, benchmark, cells, one, rows

from downstream.leaderboard.captions import group_title
from downstream.leaderboard.tables import build


def test_gains_over_random_are_one_family_a_column() -> None:
    found = rows(build(benchmark(3)))
    assert {c.gain.separated for c in cells(found["colorization"]) if c.gain} == {True}
    near = [
        one("jigsaw", *column, seed, "photos", value=0.2003 + 0.01 * i + 0.004 * (seed - 1), recipe="j")
        for i, column in enumerate(COLUMNS)
        for seed in range(3)
    ]
    found = rows(build(benchmark(3) + near))
    assert {c.gain.separated for c in cells(found["jigsaw"]) if c.gain} == {False}
    assert {c.gain.separated for c in cells(found["colorization"]) if c.gain} == {True}
    for board in (build(benchmark(2)), build(benchmark(3, "scenes"))):
        assert {c.gain.separated for row in rows(board).values() for c in cells(row) if c.gain} == {None}


def test_twins_are_those_of_the_same_input_network_and_pretraining_images() -> None:
    other = benchmark(pretexts=("colorization",), input="lightness")
    board = build(benchmark() + other)
    by_input = {group.match.input: group for group in board.groups}
    assert all(cell.gain is None for row in by_input["lightness"].rows for cell in cells(row))
    assert all(cell.gain is not None for row in by_input["rgb"].pretext for cell in cells(row))
    for field in ("backbone", "pretraining", "calibration"):
        apart = build(benchmark(pretexts=("random",)) + benchmark(pretexts=("rotation",), **{field: "other"}))
        assert len(apart.groups) == 2, field
    assert all(row.place == 1.0 for row in by_input["lightness"].pretext)


def test_rows_that_see_colour_are_never_among_rows_that_see_lightness() -> None:
    """A control in colour: sections of its own, and no mark, place or gain of the others moves."""
    usual = benchmark(input="lightness")
    better = [
        replace(r, result=replace(r.result, value=r.result.value + 0.1)) for r in benchmark(input="rgb")
    ]
    (alone,), both = build(usual).groups, build(usual + better).groups
    by_input = {group.match.input: group for group in both}
    assert set(by_input) == {"lightness", "rgb"}
    assert len(both) == 2
    assert [group_title(g, both).partition(" · ")[0] for g in both] == ["input lightness", "input rgb"]
    assert len(by_input["rgb"].rows) == len(by_input["lightness"].rows) == len(alone.rows)
    for before, now in zip(alone.rows, by_input["lightness"].rows, strict=True):
        assert (now.label, now.place, now.rank, now.gain) == (
            before.label, before.place, before.rank, before.gain,
        )  # fmt: skip
        marks = [[(c.best, c.verdict, c.ranks) for c in cells(row)] for row in (before, now)]
        assert marks[0] == marks[1]


def test_gains_pair_the_seeds_that_both_have() -> None:
    made = [r for r in benchmark() if not (r.subject.pretext == "random" and r.subject.seed == 2)]
    found = rows(build(made))
    for column, cell in found["rotation"].cells.items():
        low = found["random"].cells[column]
        assert cell.gain is not None
        assert cell.gain.over_random == pytest.approx(cell.scores.values[:2].mean() - low.value)
        assert cell.gain.interval is not None
        assert cell.gain.over_random in cell.gain.interval


def test_a_gain_is_over_the_twin_that_the_row_names() -> None:
    """Which recipe hash is larger decides nothing."""
    column = COLUMNS[0]
    for recipes in (("aaaa", "zzzz"), ("zzzz", "aaaa")):
        own, other = recipes
        made = [
            one("rotation", *column, 0, "photos", value=0.5, twins={"random": "r", "supervised": own}),
            one("random", *column, 0, "photos", value=0.4, recipe="r"),
            one("supervised", *column, 0, "photos", value=0.8, recipe=own),
            one("supervised", *column, 0, "photos", value=0.45, recipe=other),
        ]
        (cell,) = cells(rows(build(made))["rotation"])
        assert cell.gain is not None
        assert cell.gain.over_random == pytest.approx(0.1)
        assert cell.gain.over_supervised == pytest.approx(-0.3)
        gone = [r for r in made if r.subject.recipe != own]
        (cell,) = cells(rows(build(gone))["rotation"])
        assert cell.gain is not None
        assert (cell.gain.over_supervised, cell.gain.share.value) == (None, None)


def test_a_row_that_names_no_twin_has_one_only_where_there_is_one() -> None:
    made = [one(p, *COLUMNS[0], 0, "photos", recipe=r) for p, r in (("rotation", "a"), ("random", "b"))]
    assert cells(rows(build(made))["rotation"])[0].gain is not None
    two = [*made, one("random", *COLUMNS[0], 0, "photos", recipe="c")]
    board = build(two)
    assert cells(rows(board)["rotation"])[0].gain is None
    assert any("Several recipes of random (b, c)" in note and "rotation" in note for note in board.notes)


def test_what_took_no_training_stands_beside_the_rows_of_every_budget() -> None:
    """The gain of a row over random comes from its own budget's table, and budgets are not mixed."""
    made = [
        one(p, *COLUMNS[0], 0, "photos", budget=budget, recipe=f"{p}{budget}", value=value)
        for budget, own in (("4 epochs", (0.5, 0.6)), ("40 epochs", (0.7, 0.9)))
        for p, value in zip(("rotation", "supervised"), own, strict=True)
    ]
    made += [
        one(p, *COLUMNS[0], 0, "photos", budget="", value=value)
        for p, value in (("random", 0.4), ("kmeans_init", 0.45))
    ]
    board = build(made)
    assert [group.match.budget for group in board.groups] == ["4 epochs", "40 epochs"]
    for group, share in zip(board.groups, (0.5, 0.6), strict=True):
        found = {row.label: row for row in group.rows}
        assert set(found) == {"rotation", "kmeans_init", "random", "supervised"}
        (cell,) = cells(found["rotation"])
        assert cell.gain is not None
        assert cell.gain.over_random == pytest.approx(cell.value - 0.4)
        assert (cell.value - 0.4) / (found["supervised"].cells[board.columns[0]].value - 0.4) == (
            pytest.approx(share)
        )
    (alone,) = build([r for r in made if not r.subject.budget]).groups
    assert {row.label for row in alone.rows} == {"random", "kmeans_init"}
