"""How a value and its interval are written: ±, both ends where it reaches further to one side."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_board import COLUMNS, benchmark, one
from rich.console import Console

from downstream.judge.records import Record
from downstream.leaderboard import Tables, build
from downstream.leaderboard.statistics import Interval, Kind
from downstream.leaderboard.units import with_interval
from downstream.protocol import FRACTION, Direction, Scale

DECIBEL = Scale("dB", Direction.HIGHER, (0.0, 100.0))


@pytest.mark.parametrize(
    ("value", "low", "high", "scale", "written"),
    [
        (0.314, 0.305, 0.323, FRACTION, "31.4±0.9"),
        (0.292, 0.261, 0.417, FRACTION, "29.2 +12.5 −3.1"),
        (0.292, 0.167, 0.323, FRACTION, "29.2 +3.1 −12.5"),
        # The middle lies a tenth of the half width above the value, and a little less, and more.
        (0.500, 0.411, 0.607, FRACTION, "50.0±9.8"),
        (0.500, 0.409, 0.613, FRACTION, "50.0 +11.3 −9.1"),
        # Ends that look alike say no more than ±.
        (0.5, 0.4996, 0.50045, FRACTION, "50.0±0.0"),
        (1.0, 1.0, 1.0, FRACTION, "100.0±0.0"),
        (1.0, 0.9, 1.0, FRACTION, "100.0 +0.0 −10.0"),
        (0.29, 0.301, 0.417, FRACTION, "29.0 [30.1, 41.7]"),
        (0.5088182, 0.5088185, 0.5088185, FRACTION, "50.9±0.0"),
        (-0.04, -0.05, -0.01, FRACTION, "-4.0 +3.0 −1.0"),
        (22.5, 22.0, 25.0, DECIBEL, "22.5 +2.5 −0.5"),
    ],
)
def test_written(value: float, low: float, high: float, scale: Scale, written: str) -> None:
    assert with_interval(value, Interval(low, high, Kind.IMAGES), scale) == written


def test_no_interval_is_no_interval() -> None:
    assert with_interval(0.5, None, FRACTION) == "50.0"


def skewed(pretext: str, value: float) -> Record:
    """A score of one seed whose resamples reach four times as far up as down."""
    drawn = np.concatenate([np.linspace(value - 0.02, value, 250), np.linspace(value, value + 0.08, 250)])
    return one(pretext, *COLUMNS[0], 0, "photos", value=value, resampled=tuple(map(float, drawn)))


def test_every_format_shows_both_ends(tmp_path: Path) -> None:
    made = [skewed("rotation", 0.3), skewed("random", 0.1)]
    tables = Tables(made, build(made))
    paths = tables.write(tmp_path)
    ends = r"30\.0 \+(7\.\d) (−|\$-\$)(1\.\d)"
    for path in (paths.text, paths.markdown, paths.latex):
        assert re.search(ends, path.read_text()), path.name
    assert json.loads(re.findall(r'"text":("30[^"]*")', paths.page.read_text())[0]).startswith("30.0 +7.")
    out = io.StringIO()
    tables.show(Console(width=80, file=out))
    shown = out.getvalue()
    assert re.search(ends, shown)
    assert "the interval reaches further to one side" in " ".join(shown.split())
    (cell,) = [each for each in json.loads(paths.cells_json.read_text()) if each["pretext"] == "rotation"]
    assert cell["high"] - cell["value"] > 3 * (cell["value"] - cell["low"])


def test_intervals_over_seeds_are_symmetric_and_nothing_is_said(tmp_path: Path) -> None:
    made = benchmark(3)
    paths = Tables(made, build(made)).write(tmp_path)
    text = paths.text.read_text()
    assert "±" in text
    assert not re.search(r"\d −\d", text)
    assert "further to one side" not in text


def test_json_holds_what_csv_holds(tmp_path: Path) -> None:
    made = [*benchmark(2), skewed("rotation", 0.3)]
    Tables(made, build(made)).write(tmp_path, scores=True)
    for table in ("cells", "scores"):
        objects = json.loads((tmp_path / f"{table}.json").read_text())
        with (tmp_path / f"{table}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [list(each) for each in objects] == [list(each) for each in rows]
        for own, row in zip(objects, rows, strict=True):
            for key, value in own.items():
                text = row[key]
                if value is None:
                    assert text == ""
                elif isinstance(value, (dict, list)):
                    assert json.loads(text) == value
                elif isinstance(value, float) and not isinstance(value, bool):
                    assert float(text) == value
                else:
                    assert text == str(value)
