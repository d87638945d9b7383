"""The jobs end to end on a handful of scenes: what they leave, and that nothing is computed twice."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pretext
from downstream.judge.record_files import read_all
from pretextbench import dispatch
from pretextbench.context import Context

TINY = [
    "data.train=96", "data.val=32", "data.test=32", "data.workers=1", "trainer.epochs=1",
    "trainer.batch_size=32",
    "+backbone.widths=[8,8,8,8,8]", "trainer.device=cpu",
]  # fmt: skip
BRIEF = ["downstream.linear.grid.epochs=1", "downstream.linear.grid.least_steps=0"]
"""A probe of a few steps."""

Run = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One working folder for the module: later tests reuse what earlier ones computed, as a user would."""
    here, before = tmp_path_factory.mktemp("jobs"), Path.cwd()
    mode = os.environ.pop("WANDB_MODE", None)
    os.environ.pop("WANDB_API_KEY", None)
    os.environ["NETRC"] = str(here / "no-netrc")
    os.chdir(here)
    yield here
    os.chdir(before)
    os.environ.pop("NETRC")
    if mode is not None:
        os.environ["WANDB_MODE"] = mode


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def start(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments, *TINY])
        return dispatch.main()

    return start


def files(folder: Path) -> dict[str, float]:
    return {str(p): p.stat().st_mtime_ns for p in (folder / "outputs" / "records").rglob("*") if p.is_file()}


@pytest.mark.slow
def test_the_main_job(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [
        "downstream=[linear,segmentation_linear,detection_frozen]",
        *BRIEF,
        "downstream.detection_frozen.recipe.epochs=1",
        "downstream.detection_frozen.recipe.least_steps=0",
    ]
    assert run(*line, "dry_run=true") == 0
    planned = capsys.readouterr().out
    assert "to do" in planned
    assert "about" in planned
    assert not list((folder / "outputs").glob("runs/*/result.json"))

    assert run(*line) == 0
    shown = capsys.readouterr().out
    for row in (
        "colorization",
        "random",
        "supervised",
        "luminance_histogram",
        "constant_box",
        "position_prior",
    ):
        assert row in shown
    assert "wandb sync" in shown
    boards = list((folder / "outputs" / "boards").iterdir())
    assert len(boards) == 1
    assert str(boards[0].relative_to(folder)) in shown.replace("\n", "")
    for name in ("leaderboard.md", "leaderboard.tex", "cells.csv", "cells.json"):
        assert (boards[0] / name).stat().st_size > 0
    assert '"class":"ground"' in (boards[0] / "leaderboard.html").read_text()
    pictures = {path.stem.rpartition("_")[0] for path in (boards[0] / "pictures").iterdir()}
    assert "colorization_s0_samples" in pictures
    assert "supervised_s0_scenes_detection_frozen" in pictures
    assert "random_s0_scenes_segmentation_linear" in pictures
    records = read_all(folder / "outputs" / "records")
    recipes = {record.subject.pretext: record.subject.recipe for record in records}
    for record in records:
        assert record.data.digests.keys() == {"train", "val", "test"}
        if not record.subject.blind:
            assert record.provenance.config["seed"] == 0
            assert record.provenance.config["pretext"]["name"] == record.subject.pretext
            assert record.subject.backbone == "SmallNet(widths=[8, 8, 8, 8, 8])"
        if record.subject.pretext == "colorization":
            assert record.subject.twins == {name: recipes[name] for name in ("random", "supervised")}

    before = files(folder)
    assert run(*line) == 0
    assert files(folder) == before, "the same line computed something again"
    assert run(*line, "dry_run=true") == 0
    assert "to do" not in capsys.readouterr().out.rsplit("what", 1)[-1]

    assert run("job=leaderboard") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("colorization", "random", "supervised", "constant_box"))
    assert run("job=leaderboard", "output=nowhere") == 1
    assert "run job=benchmark first" in capsys.readouterr().err
    assert files(folder) == before


@pytest.mark.slow
def test_a_dry_run_lists_what_a_run_starts_from(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pretext=colorization_l2_ft", "downstream=[linear]", "seed=9", "dry_run=true") == 0
    shown = capsys.readouterr().out
    first, second = (shown.index(name) for name in ("colorization_smallnet", "colorization_l2_ft_smallnet"))
    assert first < second


@pytest.mark.slow
def test_offline_logging_holds_curves_pictures_configuration_scores_and_encoder(
    run: Run, folder: Path
) -> None:
    assert run("downstream=[linear]", "seed=7", *BRIEF) == 0
    by_task = {}
    for path in folder.glob("outputs/wandb/wandb/offline-run-*/*.wandb"):
        log = read_log(path)
        if log["config"]["seed"] == 7:
            by_task[log["config"]["run"]] = log
    assert len(by_task) == 3
    assert len({log["group"] for log in by_task.values()}) == 1
    assert {log["job_type"] for log in by_task.values()} == {"benchmark"}
    named = {log["config"]["pretext"]["name"]: log["tags"][0] for log in by_task.values()}
    assert named == {name: name for name in ("colorization", "random", "supervised")}
    colour = next(log for log in by_task.values() if "colorization" in log["tags"])
    assert colour["config"]["pretext"]["task"]["rebalance"] == 0.5
    assert {"train/loss", "val/loss", "val/auc", "val/auc_balanced", "val/knn"} <= colour["history"].keys()
    assert colour["history"]["val/gray_coloured_original/_type"].startswith("images")
    assert colour["history"]["records/_type"] == "table-file"
    assert colour["history"]["records/nrows"] > 0
    assert colour["artifacts"] == ["encoder"]
    name = json.loads(next(folder.glob("outputs/runs/colorization_*_s7_*/wandb.json")).read_text())
    assert name["mode"] == "offline"


@pytest.mark.slow
def test_a_sweep_makes_one_table_and_lists_what_failed(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["-m", "pretext=rotation,random", "seed=0,1", "downstream=[linear]", "logger=none", *BRIEF]
    assert run(*line) == 0
    shown = capsys.readouterr().out
    table = shown[shown.rindex("Scores in %") :]
    assert "rotation" in table
    before = files(folder)
    assert run(*line) == 0
    assert files(folder) == before
    capsys.readouterr()
    line[1:3] = "pretext=rotation", "input=lightness,depth"
    assert run(*line) == 1
    shown = capsys.readouterr()
    assert "rotation" in shown.out[shown.out.rindex("Scores in %") :]
    assert "failed: " in shown.err
    assert "there is no input 'depth'" in shown.err.replace("\n", " ")


@pytest.mark.slow
def test_photographs_are_coloured(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    photos = folder / "photos" / "sub"
    photos.mkdir(parents=True)
    Image.fromarray(rng.integers(0, 255, (70, 131, 3), dtype=np.uint8)).save(photos / "a.png")
    Image.fromarray(rng.integers(0, 255, (33, 40), dtype=np.uint8)).save(folder / "photos" / "gray.jpg")
    assert run("job=pretrain", "logger=none") == 0
    assert run("job=colorize", f"image={folder / 'photos'}") == 0
    (into,) = (folder / "outputs" / "colorized").iterdir()
    assert (folder / "outputs" / "runs" / into.name).is_dir()
    made = np.asarray(Image.open(into / "sub" / "a.png"))
    assert made.shape == (70, 3 * 131 + 2 * 8, 3)
    original = np.asarray(Image.open(photos / "a.png"))
    assert np.array_equal(made[:, -131:], original)
    assert np.ptp(made[:, :131].astype(int), axis=2).max() <= 1  # the left panel is gray
    assert (into / "gray.png").is_file()

    # A bad one is named, the others are coloured all the same, and no data are read for it.
    monkeypatch.setattr(Context, "_read", lambda context, config: pytest.fail("data were read"))
    (into / "gray.png").unlink()
    (folder / "photos" / "bad.png").write_bytes(b"no image")
    capsys.readouterr()
    assert run("job=colorize", f"image={folder / 'photos'}") == 1
    shown = "".join(capsys.readouterr().err.split())
    assert f"1of3imagescouldnotbecoloured:{folder / 'photos' / 'bad.png'}" in shown
    assert (into / "gray.png").is_file()
    assert not (into / "bad.png").exists()
    assert run("job=colorize", f"image={folder / 'photos'}", "pretext=colorization_l2") == 1
    assert "no colorization_l2 was pretrained" in capsys.readouterr().err


@pytest.mark.slow
def test_an_encoder_of_ones_own_is_judged(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("job=pretrain", "pretext=rotation", "logger=none") == 0
    trained = next((folder / "outputs" / "runs").glob("rotation_*_s0_*"))
    encoder = pretext.load(trained)
    with torch.no_grad():
        assert encoder(torch.rand(1, 3, 64, 64)).maps["conv5"].shape == (1, 8, 8, 8)
    encoder.save(folder / "mine")
    assert run("job=evaluate", "encoder=mine", "label=mine", "downstream=[linear]", "logger=none") == 0
    assert "mine" in capsys.readouterr().out


@pytest.mark.slow
def test_data_without_colour_is_refused(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grays = folder / "grays"
    grays.mkdir()
    for i in range(40):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 64), dtype=np.uint8)).save(
            grays / f"{i}.png"
        )
    arguments = [
        "run.py",
        "job=pretrain",
        "data=folder",
        f"data.root={grays}",
        "logger=none",
        "trainer.device=cpu",
    ]
    sys.argv = arguments
    assert dispatch.main() == 1
    assert "no image with colour" in " ".join(capsys.readouterr().err.split())
    sys.argv = [*arguments[:3], f"data.root={folder / 'nowhere'}", "logger=none"]
    assert dispatch.main() == 1
    assert "nowhere" in capsys.readouterr().err


def read_log(path: Path) -> dict[str, Any]:
    """What an offline W&B run logged, read from its file."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, Any] = {
        "config": {},
        "history": {},
        "artifacts": [],
        "tags": [],
        "group": "",
        "job_type": "",
    }
    for content in records_of(path.read_bytes()):
        record = Record.FromString(content)
        if record.HasField("run"):
            found |= {
                "tags": list(record.run.tags),
                "group": record.run.run_group,
                "job_type": record.run.job_type,
            }
            found["config"] |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
        if record.HasField("history"):
            for item in record.history.item:
                key = item.key or "/".join(item.nested_key)
                found["history"][key] = json.loads(item.value_json)
        if record.HasField("artifact"):
            found["artifacts"].append(record.artifact.type)
        elif record.HasField("request") and record.request.HasField("log_artifact"):
            found["artifacts"].append(record.request.log_artifact.artifact.type)
    found["artifacts"] = [kind for kind in found["artifacts"] if kind == "encoder"]
    return found


def records_of(log: bytes) -> Iterator[bytes]:
    """Records of a LevelDB log: blocks of 32 KiB, fragments (crc, length, type), after a header."""
    block, position, parts = 32768, 7, []
    while position + 7 <= len(log):
        if block - position % block < 7:
            position += block - position % block
            continue
        _, length, kind = struct.unpack_from("<IHB", log, position)
        if kind == 0:
            break
        parts.append(log[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # whole, or last
            yield b"".join(parts)
            parts = []
