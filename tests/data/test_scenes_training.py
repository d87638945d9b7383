"""What training on the scenes must show: the thresholds were set on val once, and are frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.scenes_controls import RESULT, ROWS, Row, measure, shares


def check(scores: Mapping[Row, float]) -> None:
    """Labels can be learned but are not known at random; colour teaches as far as it follows the class."""
    random, supervised = (scores[row] for row in ROWS[:2])
    assert supervised >= 90
    assert random <= 45
    recovered = shares(dict(scores))
    semantic, object_random, image_permuted = (recovered[row] for row in ROWS[2:])
    assert semantic >= 0.5
    assert image_permuted <= 0.1
    assert object_random <= semantic / 2


@pytest.mark.training
def test_colour_teaches_exactly_as_far_as_it_follows_the_class(tmp_path: Path) -> None:
    check({row: measure(row, tmp_path) for row in ROWS})


def test_the_committed_controls_hold() -> None:
    rows = json.loads(RESULT.read_text())["rows"]
    scores = {Row(row["task"], row["colour"]): row["val_map"] for row in rows}
    check(scores)
    assert [row["share"] for row in rows] == pytest.approx([*shares(scores).values()], abs=1e-3)
