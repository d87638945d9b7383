"""What is said before the first step, and that nothing is trained where something cannot work."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretext.data.dataset import DataSet
from pretext.data.embedded import scenes
from pretextbench import dispatch

Run = Callable[..., tuple[int, str]]


def paint(folder: Path, count: int, colour: bool = True) -> None:
    """Photographs that differ, with colour or without."""
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.random.default_rng([i, len(folder.name)]).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels if colour else pixels[:, :, :1].repeat(3, 2)).save(folder / f"{i}.png")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a line; its exit status and what it printed, in one line."""
    monkeypatch.chdir(tmp_path)

    def start(*words: str) -> tuple[int, str]:
        small = ["logger=none", "trainer.device=cpu", "trainer.epochs=1", "trainer.batch_size=4"]
        monkeypatch.setattr(sys, "argv", ["run.py", *words, *small])
        return dispatch.main(), " ".join("".join(capsys.readouterr()).split())

    return start


FOLDER = ("data=folder", "data.root=photos", "data.size=16", "data.val=0.2", "data.test=0.2")


@pytest.mark.parametrize("dry", [True, False])
def test_what_was_asked_for_and_cannot_work_stops_before_training(
    dry: bool, run: Run, tmp_path: Path
) -> None:
    paint(tmp_path / "photos" / "ant", 20)
    paint(tmp_path / "photos" / "bee", 20)
    status, shown = run(*FOLDER, "downstream=[knn]", f"dry_run={dry}")
    assert status == 1
    assert "folder: 2 classes (ant, bee) · 24 train, 8 val, 8 test" in shown
    assert "knn cannot be done on folder: knn: k=200 neighbours, but split 'train' has 24 images" in shown
    assert not (tmp_path / "outputs" / "runs").exists()


def test_what_the_default_list_cannot_do_is_left_out_by_name(run: Run, tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "ant", 20)
    paint(tmp_path / "photos" / "bee", 20)
    status, shown = run(*FOLDER, "dry_run=true")
    assert status == 0
    for name in ("detection_frozen", "detection_finetune", "segmentation_linear", "fcn_finetune"):
        assert f"{name} is left out on folder: it needs " in shown
    for name in ("linear", "finetune"):
        assert f" {name} to do " in shown


def test_one_class_leaves_nothing_to_judge(run: Run, tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "ant", 20)
    status, shown = run(*FOLDER)
    assert status == 1
    assert (
        "folder has one class, and there is nothing to tell apart: the supervised twin is left out" in shown
    )
    assert "linear is left out on folder: all images of split 'train' have the same class" in shown
    assert "no protocol of downstream=[linear,finetune," in shown
    assert "job=pretrain trains without judging" in shown
    assert not (tmp_path / "outputs" / "runs").exists()


def test_images_without_labels_can_be_judged_by_what_needs_none(run: Run, tmp_path: Path) -> None:
    paint(tmp_path / "photos", 20)
    status, shown = run(*FOLDER)
    assert status == 1
    assert "no labels" in shown
    assert "downstream=[health] needs no labels" in shown
    status, shown = run(*FOLDER, "downstream=[health]", "dry_run=true")
    assert status == 0
    assert "folder has no image labels: the supervised twin is left out" in shown
    assert " supervised_" not in shown
    status, shown = run(*FOLDER, "pretext=supervised", "job=pretrain", "dry_run=true")
    assert status == 1
    assert "pretext=supervised: folder has no image labels" in shown


def test_colour_that_is_not_there_is_missed_in_a_dry_run(run: Run, tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "ant", 20, colour=False)
    paint(tmp_path / "photos" / "bee", 20, colour=False)
    status, shown = run(*FOLDER, "downstream=[linear]", "dry_run=true")
    assert status == 1
    assert "Colorization needs colour, and split 'train' has no image with colour" in shown
    assert run(*FOLDER, "downstream=[linear]", "dry_run=true", "pretext=rotation")[0] == 0


def test_a_line_says_what_is_trained_first(run: Run) -> None:
    few = ["data.train=32", "data.val=16", "data.test=16", "data.workers=1"]
    status, shown = run("job=pretrain", "pretext=colorization_l2_ft", "dry_run=true", *few)
    assert status == 0
    # Views: an epoch of 32 images each; the lines are folded at the width of the terminal.
    assert re.search(r"to do 32 \d+ s .*to do \(trains colorization 32 \d+ s .*first\)", shown)
    assert shown.index("colorization_smallnet") < shown.index("colorization_l2_ft_smallnet")
    status, shown = run("job=pretrain", "calibration=magnitude", "pretext=rotation", "dry_run=true", *few)
    assert status == 0
    assert "to do (calibration, trains" in shown
    assert re.search(r"to do 128 \d+ s", shown)  # four turns of 32 images


def plain(root: str) -> DataSet:
    """A reader that takes neither a cache nor anything to report its progress to."""
    return scenes(root, train=32, val=16, test=16, workers=1)


def test_a_reader_of_ones_own_takes_what_it_needs(run: Run, tmp_path: Path, capsys: object) -> None:
    own = tmp_path / "own" / "data"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("_target_: test_first_step.plain\nroot: made\n")
    status, shown = run("--config-dir=own", "data=mine", "job=pretrain", "pretext=rotation", "dry_run=true")
    assert status == 0, shown
    assert "32 train, 16 val, 16 test" in shown


def test_a_sweep_plans_in_one_table(run: Run) -> None:
    few = ["data.train=32", "data.val=16", "data.test=16", "data.workers=1", "downstream=[linear]"]
    status, shown = run("-m", "pretext=rotation,autoencoder", "dry_run=true", *few)
    assert status == 0
    assert shown.count("what state views about") == 1
    assert shown.count("scenes: ") == 1
    for row in ("rotation_", "autoencoder_", "random_", "supervised_"):
        assert shown.count(f" {row}smallnet") == 1, row
    assert shown.count(" linear to do") == 4
    assert shown.count(" on cpu, fp32") == 1
    status, shown = run("job=status")
    assert status == 1
    assert "nothing was started there" in shown


def test_a_second_set_for_the_probes_is_named_on_the_line_and_needs_labels(run: Run, tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        paint(tmp_path / "photos" / name, 12)
    paint(tmp_path / "bare", 12)
    second = ("data@monitor=folder", "monitor.size=16", "monitor.val=0.3", "monitor.test=0.2")
    line = ("job=pretrain", *FOLDER, "pretext=rotation", *second)
    status, shown = run(*line, "monitor.root=bare")
    assert status == 1
    assert "data@monitor=folder has no labels, which probes need" in shown
    status, shown = run(*line, "monitor.root=nowhere")
    assert status == 1
    assert "set monitor.root=PATH" in shown
    assert not (tmp_path / "outputs" / "runs").exists()
    status, shown = run(*line, "monitor.root=photos", "monitor.name=second")
    assert status == 0
    (history,) = (tmp_path / "outputs" / "runs").glob("*/history.csv")
    assert {"val/knn_second", "val/linear_second"} <= set(history.read_text().splitlines()[0].split(","))
