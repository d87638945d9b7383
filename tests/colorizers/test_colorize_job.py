"""`job=colorize colorizer=NAME`: photographs coloured by systems that are no pretext tasks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pretext.color import rgb_to_lab
from pretext.colorizers.beside import at_size, read_scribbles
from pretext.colorizers.contract import Hints
from pretext.data.decode import BadImage
from pretextbench import dispatch
from pretextbench.context import Context

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def start(*words: str) -> tuple[int, str]:
        small = [
            "data.train=16",
            "data.val=4",
            "data.test=4",
            "data.workers=1",
            "trainer.device=cpu",
            "size=24",
        ]
        monkeypatch.setattr(sys, "argv", ["run.py", "job=colorize", "image=photo.png", *words, *small])
        status, told = dispatch.main(), capsys.readouterr()
        return status, " ".join((told.err if status else told.out).split())

    return start


@pytest.fixture(autouse=True)
def photo(tmp_path: Path) -> NDArray[np.uint8]:
    """Two flat halves, dark and bright, and a reference of the same ones in red and in green."""
    levels = np.full((48, 64, 3), 60, np.uint8)
    levels[:, 32:] = 180
    Image.fromarray(levels).save(tmp_path / "photo.png")
    painted = np.full((48, 64, 3), (120, 20, 20), np.uint8)
    painted[:, 32:] = (150, 220, 150)
    Image.fromarray(painted).save(tmp_path / "reference.png")
    layer = np.zeros((48, 64, 4), np.uint8)
    layer[24, 4:28] = (200, 30, 30, 255)
    layer[24, 36:60] = (30, 160, 30, 255)
    Image.fromarray(layer, "RGBA").save(tmp_path / "marks.png")
    Image.fromarray(layer[12:36, :32], "RGBA").save(tmp_path / "other.png")
    return levels


def newest(tmp_path: Path) -> Path:
    """The picture that was made last."""
    made = (tmp_path / "outputs" / "colorized").glob("*/photo.png")
    return max(made, key=lambda path: path.stat().st_mtime_ns)


def halves(tmp_path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean ab of both halves of the newest coloured panel."""
    made = np.asarray(Image.open(newest(tmp_path)))
    assert made.shape == (48, 3 * 64 + 2 * 8, 3)
    panel = torch.from_numpy(made[:, 72:136].copy()).permute(2, 0, 1)[None].float() / 255
    ab = rgb_to_lab(panel)[0, 1:].numpy()
    return ab[:, 8:40, 4:24].mean((1, 2)), ab[:, 8:40, 40:60].mean((1, 2))


def test_scribbles_spread_over_the_halves_that_they_lie_on(run: Run, tmp_path: Path) -> None:
    status, shown = run("colorizer=levin", "scribbles=marks.png")
    assert status == 0, shown
    red, green = halves(tmp_path)
    assert red[0] > 30
    assert green[0] < -20


def test_a_reference_gives_its_colours_to_what_is_as_bright_and_no_data_are_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "_read", lambda context, config: pytest.fail("data were read"))
    status, shown = run("colorizer=welsh_chosen", "reference=reference.png")
    assert status == 0, shown
    red, green = halves(tmp_path)
    assert red[0] > 15
    assert green[0] < -15


def test_a_system_that_learns_sees_the_training_images(run: Run, tmp_path: Path) -> None:
    status, shown = run("colorizer=mean")
    assert status == 0, shown
    one, other = halves(tmp_path)
    np.testing.assert_allclose(one, other, atol=4)
    status, shown = run("colorizer=welsh", "dry_run=true")
    assert "1 images would be coloured by welsh" in shown


def test_one_image_that_cannot_be_read_is_told_before_anything_is_fitted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "_read", lambda context, config: pytest.fail("data were read"))
    (tmp_path / "photo.png").write_text("not a picture")
    status, shown = run("colorizer=welsh")
    assert status != 0
    assert "photo.png: no image that can be read" in shown


def test_scribbles_that_cannot_be_read_are_named_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (("cut.png", "no image that can be read"), ("pipe.png", "no file, but a pipe")):
        with pytest.raises(BadImage, match=f"{name}: {reason}"):
            read_scribbles(tmp_path / name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("levin", "colorizer=levin needs scribbles=FILE"),
        ("welsh reference=reference.png", "colorizer=welsh reads no reference=: it takes nothing"),
        ("levin scribbles=marks.png reference=reference.png", "no reference=: it takes scribbles="),
        ("ground_truth reference=photo.png", "reads the answer, which job=colorize cannot give it"),
        ("chia_semantic", "reads label, mask, which job=colorize cannot give it"),
        ("levin scribbles=nowhere.png", "there is no image or folder nowhere.png"),
        ("levin scribbles=photo.png", "photo.png: nothing is marked"),
        ("levin scribbles=other.png", "photo.png: its scribbles are for 32×24 pixels, and it has 64×48"),
        ("welsh_chosen", "colorizer=welsh_chosen needs reference=FILE"),
        ("welsh_chosen reference=photo.png", "reference 0 has no colour"),
        ("levin scribbles=marks.png colorizers=[welsh]", "colorizers= is of job=colorize_benchmark"),
        ("wellsh", "wellsh"),
        ("welsh colorizer.system.grid=0", "Welsh.grid starts at 1, got 0"),
        ("welsh colorizer.system.gird=3", "gird"),
        ("larsson_release reference=reference.png", "colorizer=larsson_release reads no reference="),
        ("larsson_release colorizer.system.fde=0.1", "Did you mean colorizer.system.fade"),
    ],
)
def test_what_does_not_fit_is_said(run: Run, words: str, said: str) -> None:
    status, shown = run(*f"colorizer={words}".split())
    assert status
    assert said in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("colorizer=levin scribbles=other.png", "its scribbles are for 32×24 pixels, and it has 64×48"),
        ("colorizer=levin scribbles=nowhere.png", "there is no image or folder nowhere.png"),
        ("scribbles=marks.png", "reference= and scribbles= are read by systems"),
        ("pretext.optimizer.lr=-1 colorizer=mean", "Invalid learning rate: -1"),
        ("pretext=colorization", "is pretrained under this configuration, to its end"),
    ],
)
def test_what_needs_no_data_to_be_refused_makes_none(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    monkeypatch.setattr(Context, "_read", lambda context, config: pytest.fail("data were read"))
    unfinished = tmp_path / "outputs" / "runs" / "colorization_smallnet_scenes_s0_aaaaaaaaaaaa"
    unfinished.mkdir(parents=True)
    (unfinished / "config.json").write_text("{}")
    status, shown = run(*words.split())
    assert status == 1
    assert said in shown


def test_a_trained_task_is_read_in_another_way(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = run("colorizer=larsson_release")
    assert status == 1
    assert "no larsson was pretrained under" in shown
    words = ["pretext=larsson", "logger=none", "trainer.epochs=1", "trainer.device=cpu"]
    words += ["data.train=16", "data.val=4", "data.test=4", "data.workers=1"]
    monkeypatch.setattr(sys, "argv", ["run.py", "job=pretrain", *words])
    assert dispatch.main() == 0
    capsys.readouterr()
    (folder,) = (tmp_path / "outputs" / "runs").glob("larsson_*")
    made = []
    for how in (
        "pretext=larsson",
        "colorizer=larsson_release",
        "colorizer=larsson_release colorizer.system.fade=0.03",
    ):
        status, shown = run(*how.split(), "trainer.epochs=1")
        assert status == 0, shown
        made.append(np.asarray(Image.open(newest(tmp_path))))
    kept = {path.name for path in (tmp_path / "outputs" / "colorized").iterdir()}
    assert kept == {folder.name, f"larsson_release_{folder.name}"}, "none has another's place"
    assert (made[0] == made[2]).all(), "the paper's fade by both ways"
    assert (made[0] != made[1]).any()
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 1, "nothing was trained anew"
    status, shown = run("colorizer=larsson_release", "trainer.epochs=1", "dry_run=true")
    assert f"would be coloured by larsson_release from outputs/runs/{folder.name}" in shown
    for said in ("trainer.epochs=1 seed=1", "trainer.epochs=2", "trainer.epochs=1 trainer.batch_size=7"):
        with monkeypatch.context() as alone:
            alone.setattr(Context, "_read", lambda context, config: pytest.fail("data were read"))
            status, shown = run("colorizer=larsson_release", *said.split())
            assert status == 1
            assert "no larsson under outputs is pretrained under this configuration" in shown
    status, shown = run("colorizer=larsson_release", "trainer.epochs=1", "data.workers=2")
    assert status == 0, shown
    status, shown = run("colorizer=colorization_mean", f"encoder={folder}")
    assert status == 1
    assert "colorizer=colorization_mean reads what Colorization predicts" in shown
    assert "holds Larsson" in shown


def test_thin_lines_stay_in_a_small_copy_and_colours_are_means_of_what_is_marked(tmp_path: Path) -> None:
    scribbles = read_scribbles(tmp_path / "marks.png")
    small = at_size(Hints(scribbles=scribbles), (12, 16)).scribbles
    assert small is not None
    assert small.marked.nonzero()[:, 0].unique().tolist() == [6]
    assert small.marked[6].tolist() == [False] + [True] * 6 + [False] * 2 + [True] * 6 + [False]
    torch.testing.assert_close(small.ab[:, 6, 3], scribbles.ab[:, 24, 12])


def test_without_transparency_what_has_colour_is_marked(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    painted = photo.copy()
    painted[10, 5:9] = (200, 40, 40)
    Image.fromarray(painted).save(tmp_path / "brush.png")
    marked = read_scribbles(tmp_path / "brush.png").marked
    assert marked.nonzero().tolist() == [[10, x] for x in range(5, 9)]
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(BadImage, match=r"bad\.png"):
        read_scribbles(tmp_path / "bad.png")
