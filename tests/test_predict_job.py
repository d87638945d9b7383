"""`keep_heads=true` and `job=predict`: from an encoder to what its heads say of new images."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_encoder import small
from torch import Tensor, nn

import pretextbench
from downstream.classification.head import ClassScores
from downstream.judge.record_files import read_all
from downstream.judge.records import Record
from pretext.data.dataset import DataSet
from pretextbench import dispatch

TINY = [
    "data.train=64", "data.val=24", "data.test=24", "data.workers=1", "trainer.device=cpu", "logger=none",
]  # fmt: skip
BRIEF = [
    "downstream=[linear,knn,segmentation_linear,detection_frozen,finetune]",
    "downstream.linear.grid.epochs=1",
    "downstream.linear.grid.least_steps=0",
    "downstream.knn.ks=[5]",
    "downstream.detection_frozen.recipe.epochs=1",
    "downstream.detection_frozen.recipe.least_steps=0",
    "downstream.finetune.recipe.epochs=1",
    "downstream.finetune.recipe.least_steps=0",
]
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder and four pictures, of which one is none."""
    here = tmp_path_factory.mktemp("predict")
    small("rgb").save(here / "encoder")
    generator = np.random.default_rng(0)
    (here / "photos" / "deep").mkdir(parents=True)
    for name, size in (("a.png", (90, 40)), ("b.png", (30, 64)), ("deep/c.png", (64, 64))):
        levels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(levels).save(here / "photos" / name)
    (here / "photos" / "broken.png").write_bytes(b"no image")
    return here


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(folder)

    def start(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run.py", *words, *TINY])
        status, told = dispatch.main(), capsys.readouterr()
        return status, " ".join((told.err if status else told.out).split())

    return start


def recorded(folder: Path, protocol: str) -> Record:
    (found,) = [
        r
        for r in read_all(folder / "outputs" / "records")
        if r.evaluation.protocol == protocol
        and not r.subject.blind
        and r.result.selected
        and r.evaluation.primary
    ]
    return found


@pytest.mark.slow
def test_from_an_encoder_to_predictions(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = ["job=evaluate", "encoder=encoder", "label=mine", *BRIEF]
    status, shown = run(*evaluated)
    assert status == 0, shown
    assert not (folder / "outputs" / "heads").exists()
    before = {p: p.read_bytes() for p in (folder / "outputs" / "records").rglob("*") if p.is_file()}
    assert "linear to do (its head)" in run(*evaluated, "keep_heads=true", "dry_run=true")[1]
    status, shown = run(*evaluated, "keep_heads=true")
    assert status == 0, shown
    assert "mine linear was recorded without its head: it is fitted again" in shown
    assert "mine knn keeps no head: its neighbours are the training images themselves" in shown
    assert {p: p.read_bytes() for p in before} == before
    assert len(list((folder / "outputs" / "heads").iterdir())) == 4
    assert "fitted again" not in run(*evaluated, "keep_heads=true")[1]

    monkeypatch.setattr("pretextbench.context.Context._read", lambda *_: pytest.fail("data were read"))
    said = {}
    for protocol in ("linear", "segmentation_linear", "detection_frozen", "finetune"):
        digest = recorded(folder, protocol).evaluation.digest
        words = ["job=predict", f"head=outputs/heads/{digest}", "image=photos"]
        if protocol != "finetune":
            status, shown = run(*words)
            assert status == 1
            assert "which is not beside it: name it by encoder=" in shown
            words.append("encoder=encoder")
        assert "4 images would be predicted" in run(*words, "dry_run=true")[1]
        status, shown = run(*words)
        assert status == 1
        assert "1 of 4 images could not be predicted: photos/broken.png" in shown
        assert "Traceback" not in shown
        into = folder / "outputs" / "predicted" / digest[:12]
        written = json.loads((into / "predictions.json").read_text())
        assert written["head"] == digest
        assert set(written["images"]) == {"photos/a.png", "photos/b.png", "photos/deep/c.png"}
        said[protocol] = written["images"]
    assert run(*words, "image=photos/a.png")[0] == 0
    assert set(json.loads((into / "predictions.json").read_text())["images"]) == set(written["images"])
    status, shown = run("job=predict", "head=outputs/heads", "image=photos")
    assert status == 1
    assert f"head=outputs/heads/{digest} is finetune of mine (seed 1) on " in shown
    check_classes(said["linear"])
    check_classes(said["finetune"])
    check_masks(said["segmentation_linear"], folder)
    check_boxes(said["detection_frozen"], folder)


def check_classes(said: dict[str, Any]) -> None:
    for image in said.values():
        values = [entry["probability"] for entry in image["classes"]]
        assert values == sorted(values, reverse=True)
        assert all(0 <= value <= 1 for value in values)
        assert all(entry["shown"] == (entry["probability"] > 0.5) for entry in image["classes"])


def read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image.copy()


def check_masks(said: dict[str, Any], folder: Path) -> None:
    for name, image in said.items():
        assert sum(image["shares"].values()) == pytest.approx(1)
        mask = read(folder / image["picture"])
        assert mask.mode == "P"
        assert mask.size == read(folder / name).size
        shares = np.bincount(np.asarray(mask).ravel()) / np.asarray(mask).size
        assert sorted(shares[shares > 0]) == pytest.approx(sorted(image["shares"].values()))


def check_boxes(said: dict[str, Any], folder: Path) -> None:
    assert any(image["objects"] for image in said.values())
    for name, image in said.items():
        width, height = read(folder / name).size
        for found in image["objects"]:
            x1, y1, x2, y2 = found["box"]
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
        assert read(folder / image["picture"]).size[0] >= width


class Module(nn.Module):
    """Somebody's own network."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small("rgb")

    def forward(self, rgb: Tensor) -> Tensor:
        found: Tensor = self.inner(rgb).maps["conv3"]
        return found


def test_a_module_of_ones_own_has_heads_and_is_asked_for_again(tmp_path: Path, few_scenes: DataSet) -> None:
    options = ["trainer.device=cpu", "keep_heads=true", *BRIEF[1:3], *BRIEF[6:]]
    pretextbench.judge(Module(), few_scenes, ["linear", "finetune"], tmp_path, options=options)
    heads = {
        r.evaluation.protocol: tmp_path / "heads" / r.evaluation.digest
        for r in read_all(tmp_path / "records")
        if r.subject.pretext == "Module"
    }
    images = torch.rand(2, 3, 64, 64)
    for folder in heads.values():
        found = pretextbench.open_head(folder, Module(), options=["trainer.device=cpu"])(images)
        assert isinstance(found, ClassScores)
        assert found.scores.shape == (2, len(few_scenes.label_names))
    for folder in heads.values():
        with pytest.raises(
            ValueError, match=r"on a module of one's own .*, which no file holds: give it: .*open_head\("
        ):
            pretextbench.open_head(folder)
    with pytest.raises(ValueError, match="a head on another encoder"):
        pretextbench.open_head(heads["linear"], small("rgb"))


def test_a_run_is_found_beside_its_head(tmp_path: Path, few_scenes: DataSet) -> None:
    few = ["trainer.device=cpu", "data.train=32", "data.val=16", "data.test=16", "data.workers=1"]
    encoder = pretextbench.pretrain("random", "scenes", tmp_path, options=few)
    (run,) = (tmp_path / "runs").glob("random_*")
    options = ["trainer.device=cpu", "keep_heads=true", *BRIEF[1:3]]
    pretextbench.judge(run, few_scenes, ["linear"], tmp_path, label="mine", options=options)
    (folder,) = (tmp_path / "heads").iterdir()
    images = np.asarray(few_scenes.test.pixels[:4])
    beside = pretextbench.open_head(folder)(images)
    given = pretextbench.open_head(folder, encoder)(images)
    assert isinstance(beside, ClassScores)
    assert isinstance(given, ClassScores)
    np.testing.assert_array_equal(beside.scores, given.scores)
    shutil.rmtree(run)
    with pytest.raises(ValueError, match="not beside it"):
        pretextbench.open_head(folder)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image=photos"], "job=predict needs head=FOLDER, one that keep_heads=true left"),
        (["head=photos"], "job=predict needs image=FILE or image=FOLDER"),
        (["head=nowhere", "image=photos"], "it is nowhere"),
        (["head=photos", "image=nowhere.png"], "there is no image or folder nowhere.png"),
        (["head=photos", "image=photos", "encoder=nowhere.pt"], "no encoder 'nowhere.pt'"),
        (["head=photos", "image=photos"], "no head in photos: head.safetensors is missing"),
    ],
)
def test_what_does_not_fit_is_said(run: Run, words: list[str], said: str) -> None:
    status, shown = run("job=predict", *words)
    assert status == 1
    assert said in shown
    assert "Traceback" not in shown
