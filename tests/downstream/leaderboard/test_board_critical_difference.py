"""The diagram of mean ranks: there from six data sets on, and of what the test says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from made_board import COLUMNS, one
from PIL import Image
from scipy.stats import rankdata

from downstream.judge.records import Record
from downstream.leaderboard import build
from downstream.leaderboard.friedman import MeanRanks, bars, mean_ranks
from pretextbench.board import draw
from pretextbench.critical_difference import Diagram, diagrams, picture

NAMES = ("rotation", "colorization", "autoencoder", "jigsaw")


def records(sets: int) -> list[Record]:
    return [
        one(p, *COLUMNS[0], 0, f"set{i}", value=0.2 + 0.1 * ((k + i // 3) % 4))
        for i in range(sets)
        for k, p in enumerate(NAMES)
    ]


@pytest.mark.parametrize(("sets", "drawn"), [(5, 0), (6, 1)])
def test_a_board_has_the_diagram_from_six_data_sets_on(sets: int, drawn: int, tmp_path: Path) -> None:
    made = records(sets)
    assert draw(made, build(made), {}, tmp_path / "pictures") == drawn
    assert (tmp_path / "pictures" / "critical_difference.png").is_file() == bool(drawn)


def test_labels_stand_with_their_ranks() -> None:
    board = build(records(6))
    (found,) = diagrams(board)
    assert dict(zip(found.labels, found.ranks.means.tolist(), strict=True)) == {
        row.label: row.rank for row in board.groups[0].rows
    }


def ranked(level: float, count: int = 6, sets: int = 12) -> MeanRanks:
    scores = np.random.default_rng(0).normal(size=(sets, count)) + level * np.arange(count)
    return mean_ranks(rankdata(-scores, axis=1))


def test_bars_stand_over_what_cannot_be_told_apart() -> None:
    found = ranked(1.0)
    assert found.p < 0.05
    spans = bars(found)
    assert len(spans) > 1
    for i, first in enumerate(found.means):
        for second in found.means[:i]:
            covered = any(low <= min(first, second) and max(first, second) <= high for low, high in spans)
            assert covered == (abs(first - second) <= found.difference)
    level = ranked(0.0)
    assert level.p > 0.05
    assert bars(level) == [(level.means.min(), level.means.max())]


def test_a_picture_grows_with_its_rows_and_sections() -> None:
    few, many = (
        Diagram("a section", tuple(f"task {i}" for i in range(count)), ranked(1.0, count))
        for count in (4, 20)
    )
    heights = [Image.open(io.BytesIO(picture(found))).height for found in ([few], [many], [few, many])]
    assert heights[0] < heights[1] < heights[2]
