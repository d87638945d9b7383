"""What the monitor measured while pretraining, drawn beside a board."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import record
from matplotlib.figure import Figure
from PIL import Image

from downstream.leaderboard import build
from pretextbench import curves
from pretextbench.board import draw, runs_at_hand

HISTORY = """epoch,step,train/loss,val/knn,val/linear
1,10,2.5,,
2,20,2.0,0.25,0.5
4,40,1.5,0.35,
"""


def run(folder: Path, history: str = HISTORY, **result: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text(history)
    (folder / "result.json").write_text(json.dumps({"epochs": 4, "images_seen": 800, **result}))
    return folder


def test_a_history_is_read_by_images_seen_and_epochs_without_validation_are_none(tmp_path: Path) -> None:
    curve = curves.read(run(tmp_path / "run"))
    assert curve is not None
    assert curve.images == [400, 800]
    assert curve.values["val/knn"] == [0.25, 0.35]
    assert curve.values["val/linear"][0] == 0.5
    assert math.isnan(curve.values["val/linear"][1])
    assert all(math.isnan(value) for value in curve.values["val/rankme"])


@pytest.mark.parametrize(
    ("history", "result"),
    [("epoch,step\n1,2\n", {}), ("epoch,val/knn\nx,y\n", {}), (HISTORY, {"epochs": "four"}), ("", {})],
)
def test_a_run_without_validations_or_with_damaged_files_has_no_curve(
    tmp_path: Path, history: str, result: dict[str, object]
) -> None:
    assert curves.read(run(tmp_path / "run", history, **result)) is None
    assert curves.read(tmp_path / "none") is None


def test_all_that_was_measured_on_train_and_val_is_read_where_it_is_finite(tmp_path: Path) -> None:
    history = HISTORY.replace("4,40,1.5,0.35,", "4,40,nan,0.35,")
    assert curves.every(run(tmp_path / "run", history)) == {
        "train/loss": [(200, 2.5), (400, 2.0)],
        "val/knn": [(400, 0.25), (800, 0.35)],
        "val/linear": [(400, 0.5)],
    }
    assert curves.every(tmp_path / "none") == {}
    for number, damaged in enumerate(("", "epoch,val/knn\nx,y\n", "epoch,val/knn\n1,y\n")):
        assert curves.every(run(tmp_path / str(number), damaged)) == {}


def test_an_untrained_run_is_a_level_and_trained_ones_of_a_name_share_a_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def saved(figure: Figure, *args: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    trained = curves.read(run(tmp_path / "a"))
    level = curves.read(run(tmp_path / "b", "epoch,val/knn\n0,0.125\n", epochs=0, images_seen=0))
    assert trained
    assert level
    png = curves.picture([("rotation", trained), ("rotation", trained), ("random", level)])
    assert Image.open(io.BytesIO(png)).width > 1000
    knn = next(axes for axes in drawn[0].axes if axes.get_title() == "kNN")
    one, two, flat = (line for line in knn.get_lines() if np.size(line.get_xdata()))
    assert np.asarray(one.get_xydata()).tolist() == [[400, 0.25], [800, 0.35]]
    assert one.get_color() == two.get_color() != flat.get_color()
    assert np.asarray(flat.get_ydata()).tolist() == [0.125, 0.125]


def test_a_board_has_the_curves_of_the_runs_that_are_at_hand(tmp_path: Path) -> None:
    made = [record("0" * 64, run="a" * 64)]
    folder = tmp_path / "board"
    assert draw(made, build(made), runs_at_hand(tmp_path), folder) == 0
    run(tmp_path / "runs" / f"rotation_{'a' * 12}")
    assert draw(made, build(made), runs_at_hand(tmp_path), folder) == 1
    assert [path.name for path in folder.iterdir()] == ["pretraining.png"]
