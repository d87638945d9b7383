"""Rows that taught no more than random weights do, counted by their columns."""

from __future__ import annotations

import pytest
from made_board import COLUMNS, TRUTH, benchmark, one

from benchmarks.not_above import Count, counts, sentence
from downstream.judge.records import Record
from downstream.leaderboard import build

ALL = len(COLUMNS)


def at(name: str, *truths: float, **fields: object) -> list[Record]:
    """A row of three seeds whose true score is of random weights and this more, column by column."""
    return [
        one(name, *column, seed, "photos", value=TRUTH["random"] + 0.01 * i + more + 0.001 * seed, **fields)
        for i, (column, more) in enumerate(zip(COLUMNS, truths, strict=True))
        for seed in range(3)
    ]


def test_columns_in_which_a_row_is_not_above_or_below_its_twin_are_counted() -> None:
    made = benchmark() + at("as_random", *[0.0] * ALL) + at("worse_twice", -0.1, -0.1, *[0.3] * (ALL - 2))
    board = build(made)
    assert counts(board) == [Count("as_random", ALL, 0, ALL), Count("worse_twice", 2, 2, ALL)]
    assert sentence(board) == (
        "Not above their random twin by an interval: `as_random` in 6 of 6; "
        "`worse_twice` in 2 of 6 (below in 2)."
    )


def test_rows_of_the_same_counts_share_a_part_and_a_column_with_most_is_named() -> None:
    made = benchmark() + at("b", -0.1, *[0.3] * (ALL - 1)) + at("a", -0.1, *[0.3] * (ALL - 1))
    assert sentence(build(made)) == (
        "Not above their random twin by an interval: `a`, `b` in 1 of 6 (below in 1)."
    )
    more = at("c", -0.1, -0.1, *[0.3] * (ALL - 2))
    assert sentence(build(made + more)).endswith(
        " Of these 4, 3 are in `frozen_classification` (classification) on photos, "
        "more than in any other column."
    )


def test_a_label_of_several_sections_says_what_it_sees() -> None:
    made = [record for seen in ("rgb", "lightness") for record in at("low", *[-0.1] * ALL, input=seen)]
    twins = benchmark(pretexts=("random",)) + benchmark(pretexts=("random",), input="lightness")
    assert [count.label for count in counts(build(made + twins))] == ["low (lightness)", "low (rgb)"]


@pytest.mark.parametrize(
    ("pretexts", "said"),
    [
        (tuple(TRUTH), "Every row is above its random twin by an interval in every column."),
        (("rotation", "colorization"), ""),
        (("random", "supervised"), ""),
    ],
)
def test_nothing_is_counted_where_all_are_above_or_no_twin_is_there(
    pretexts: tuple[str, ...], said: str
) -> None:
    board = build(benchmark(pretexts=pretexts))
    assert not counts(board)
    assert sentence(board) == said
