"""What training on the scenes must show: the thresholds were set on val once, and are frozen."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scenes_controls import ROWS, measure, shares

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[object, float]:
    folder: Path = tmp_path_factory.mktemp("controls")
    return {row: measure(row, folder) for row in ROWS}


def test_labels_can_be_learned_and_a_random_network_does_not_know_them(scores: dict[object, float]) -> None:
    random, supervised = (scores[row] for row in ROWS[:2])
    assert supervised >= 90
    assert random <= 45


def test_colour_teaches_exactly_as_far_as_it_follows_the_class(scores: dict[object, float]) -> None:
    recovered = shares(scores)  # type: ignore[arg-type]
    semantic, object_random, image_permuted = (recovered[row] for row in ROWS[2:])
    assert semantic >= 0.5
    assert image_permuted <= 0.1
    assert object_random <= semantic / 2
