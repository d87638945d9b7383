"""The figures of a page in a browser: drawn, named, and told in the numbers of the board.

It takes a Chromium on the path, and playwright; the tests skip, saying so, where either is missing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_board import COLUMNS, one
from made_page import Show, part, photographs
from made_records import record
from scipy.stats import rankdata, spearmanr

from downstream.leaderboard import Beside, build
from downstream.leaderboard.friedman import bars

pytestmark = pytest.mark.slow


def numbers(shown: Any, figure: str) -> list[list[str]]:
    """The table below a figure."""
    section = shown.locator("section.figure", has=shown.locator(f"h3:text-is('{figure}')"))
    section.locator("details.numbers > summary").click()
    return section.locator("table").evaluate(
        """(table) => [...table.rows].map((row) =>
          [...row.cells].map((cell) => cell.textContent.replaceAll("−", "-")))"""
    )


def test_every_figure_is_drawn_named_and_told_in_numbers(show: Show) -> None:
    shown = show([part(photographs())])
    figures = shown.locator("section.figure")
    assert figures.locator("h3").all_text_contents() == [
        "Score by stage", "Score against cost", "Frozen against fine-tuned", "Rank correlation between tasks",
        "Mean ranks over data sets", "Differences by class",
    ]  # fmt: skip
    assert figures.locator("svg[role=img][aria-label]").count() == 5
    assert "from 6 independent data sets" in figures.nth(4).locator(".empty").text_content()
    head_of_stages, *rows = numbers(shown, "Score by stage")
    assert head_of_stages[1:] == ["conv3", "conv1", "conv2"]
    assert {row[0] for row in rows} == {
        "rotation",
        "colorization",
        "autoencoder",
        "jigsaw",
        "random",
        "supervised",
    }


@pytest.mark.parametrize("ties", [False, True], ids=["apart", "tied"])
def test_rank_correlations_are_those_of_scipy(ties: bool, show: Show) -> None:
    records = photographs()
    if ties:
        records = [replace(r, result=replace(r.result, value=round(8 * r.result.value) / 8)) for r in records]
    shown, board = show([part(records)]), build(records)
    _, *rows = numbers(shown, "Rank correlation between tasks")
    found = [[float(text) if text != "–" else np.nan for text in row[1:]] for row in rows]
    scores = [[row.cells[column].value for column in board.columns] for row in board.groups[0].pretext]
    assert ties == any(len(set(column)) < len(column) for column in zip(*scores, strict=True))
    wanted = np.array(spearmanr(np.array(scores)).statistic)
    np.fill_diagonal(wanted, np.nan)
    np.testing.assert_allclose(found, wanted, atol=0.0051)


def test_the_front_holds_what_nothing_cheaper_beats(show: Show) -> None:
    truth = {"a": (1000, 0.30), "b": (2000, 0.25), "c": (3000, 0.40), "d": (3000, 0.35), "e": (500, 0.10)}
    records = [
        record(name, pretext=name, recipe=name, run=name, value=v, resampled=(v, v + 0.01), images_seen=seen)
        for name, (seen, v) in truth.items()
    ]
    shown = show([part(records)])
    _, *rows = numbers(shown, "Score against cost")
    front = {
        name for name, (seen, v) in truth.items()
        if not any(s <= seen and w >= v for other, (s, w) in truth.items() if other != name)
    }  # fmt: skip
    assert {row[0] for row in rows if row[3] == "yes"} == front == {"a", "c", "e"}


def test_classes_of_two_rows_are_set_against_each_other(show: Show) -> None:
    shown = show([part(photographs())])
    section = shown.locator("section.figure", has=shown.locator("h3:text-is('Differences by class')"))
    section.get_by_role("combobox", name="Row", exact=True).select_option(label="colorization")
    section.get_by_role("combobox", name="minus", exact=True).select_option(label="rotation")
    _, *rows = numbers(shown, "Differences by class")
    assert rows == [
        ["IoU 3", "+20.0", "20.0, 20.0"], ["IoU 2", "+10.0", "10.0, 10.0"], ["IoU 1", "0.0", "0.0, 0.0"],
        ["IoU 0", "-10.0", "-10.0, -10.0"],
    ]  # fmt: skip
    of = {"photos": {"segmentation": ("sky", "sea", "<b>land</b>")}}
    called = show([part(photographs())], Beside(classes=of))
    _, *rows = numbers(called, "Differences by class")
    assert {row[0] for row in rows} == {"IoU 3", "<b>land</b> (2)", "sea (1)", "sky (0)"}


def test_mean_ranks_over_sets_are_those_of_the_board_with_bars_where_it_has_them(show: Show) -> None:
    scores = np.random.default_rng(0).normal(size=(8, 5)) * 0.05 + 0.1 * np.arange(5) + 0.3
    names = ("autoencoder", "jigsaw", "rotation", "colorization", "simclr")
    records = [
        one(name, *COLUMNS[0], 0, f"set{i}", value=float(own[k]))
        for i, own in enumerate(scores)
        for k, name in enumerate(names)
    ]
    shown, board = show([part(records)]), build(records)
    _, *rows = numbers(shown, "Mean ranks over data sets")
    wanted = rankdata(-scores, axis=1).mean(axis=0)
    assert {name: float(rank) for name, rank in rows} == pytest.approx(
        dict(zip(names, wanted, strict=True)), abs=0.0051
    )
    found = board.groups[0].over_sets
    assert found is not None
    section = shown.locator("section.figure", has=shown.locator("h3:text-is('Mean ranks over data sets')"))
    thick = section.locator("svg g[stroke-width='3'] path")
    assert thick.count() == len(bars(found)) > 1
    assert f"differ by {found.difference:.2f} or less" in section.text_content()
