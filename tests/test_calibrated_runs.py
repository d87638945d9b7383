"""Calibration as an option: a run of its own, made from the trained one, named in encoder and records."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toy
from hydra import compose
from omegaconf import DictConfig
from rich.console import Console

from pretext.backbones.calibration import chain, change_rates
from pretext.data.dataset import DataSet
from pretext.encoder import load
from pretext.fit import Pretrained, Validation, pretrain
from pretext.fit.calibrate import Magnitude, calibrate
from pretext.tasks.random import Random
from pretextbench import dispatch, runs, subjects

Compose = Callable[..., DictConfig]
NARROW = "+backbone.widths=[8,8,8,8,8]"


@pytest.fixture
def composed(hydra: None) -> Compose:
    return lambda *overrides: compose("config", overrides=list(overrides))


def untrained(folder: Path) -> None:
    """A finished run of no steps."""
    pretrain(
        Random(toy.encoder()), toy.split(40, 0), toy.split(8, 1, "val"), folder=folder, cache=folder,
        name="toy", seed=0, epochs=0, batch_size=8, optimisation=None, device="cpu",
        validation=Validation(bank=0, pictures=2), console=Console(file=io.StringIO()),
    )  # fmt: skip


def test_a_calibrated_run_is_the_trained_encoder_at_one_rate(tmp_path: Path) -> None:
    untrained(tmp_path / "parent")
    train, magnitude = toy.split(40, 0), Magnitude(images=40)
    result = calibrate(
        tmp_path / "parent",
        train,
        magnitude,
        folder=tmp_path / "run",
        seed=0,
        device="cpu",
        provenance={"run": "r"},
    )
    trained, encoder = load(tmp_path / "parent"), load(tmp_path / "run")
    assert (encoder.provenance["calibration"], encoder.provenance["run"]) == ("magnitude", "r")
    assert encoder.provenance["data"] == trained.provenance["data"]
    assert encoder.architecture["backbone"]["arguments"]["batchnorm"] is False
    rgb = toy.batch(8).pixels
    rates, _ = change_rates(encoder.backbone, chain(encoder.backbone), encoder.input(rgb), seed=1)
    assert (rates.max() / rates.min()).item() < 2
    with torch.no_grad():
        for name, values in encoder(rgb).maps.items():
            old = trained(rgb).maps[name]
            factor = (values * old).sum() / old.square().sum()
            torch.testing.assert_close(values, factor * old, rtol=1e-3, atol=1e-3 * values.max().item())
    assert Pretrained.read(tmp_path / "run") == result
    assert result.identity["calibration"] == "magnitude"
    assert not (tmp_path / "run" / "task.json").exists()
    stamp = (tmp_path / "run" / "encoder.json").stat().st_mtime_ns
    calibrate(tmp_path / "parent", train, magnitude, folder=tmp_path / "run", seed=0)
    assert (tmp_path / "run" / "encoder.json").stat().st_mtime_ns == stamp


def test_what_is_not_finished_is_not_calibrated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finished run"):
        calibrate(tmp_path / "none", toy.split(8, 0), Magnitude(), folder=tmp_path / "run", seed=0)
    with pytest.raises(ValueError, match="positive images"):
        Magnitude(images=0)


def test_every_row_and_its_twins_are_calibrated_from_the_runs_that_exist_without(
    composed: Compose, few_scenes: DataSet
) -> None:
    plain = runs.with_twins(composed(NARROW), few_scenes, "fp32")
    changed = runs.with_twins(composed(NARROW, "calibration=magnitude"), few_scenes, "fp32")
    assert (
        [run.name for run in changed]
        == [run.name for run in plain]
        == ["colorization", "random", "supervised"]
    )
    for run, parent in zip(changed, plain, strict=True):
        assert run.parent is not None
        assert run.parent.digest == run.spec["parent"] == parent.digest
        assert run.digest != parent.digest
        assert run.folder != parent.folder
        assert subjects.of_run(run, None).calibration == "magnitude"
        assert runs.provenance(run)["run"] == run.digest
    again = runs.with_twins(
        composed(NARROW, "calibration=magnitude", "calibration.images=10"), few_scenes, "fp32"
    )
    assert {run.digest for run in again}.isdisjoint(run.digest for run in changed)


@pytest.mark.parametrize("backbone", ["resnet18", "colornet"])
def test_a_network_that_cannot_be_calibrated_is_refused_before_training(
    backbone: str, composed: Compose, few_scenes: DataSet
) -> None:
    cfg = composed(f"backbone={backbone}", "calibration=magnitude")
    with pytest.raises(ValueError, match="batchnorm"):
        runs.with_twins(cfg, few_scenes, "fp32")


def test_the_job_pretrains_and_calibrates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = [
        "job=pretrain", "pretext=kmeans_init", "calibration=magnitude", "logger=none", "trainer.device=cpu",
        "data.train=64", "data.val=16", "data.test=16", "data.workers=1", NARROW,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["run.py", *line, "dry_run=true"])
    assert dispatch.main() == 0
    monkeypatch.setattr(sys, "argv", ["run.py", *line])
    assert dispatch.main() == 0
    folders = sorted((tmp_path / "outputs" / "runs").iterdir())
    assert len(folders) == 2
    about = {f.name: json.loads((f / "encoder.json").read_text())["provenance"] for f in folders}
    assert sorted(a["calibration"] for a in about.values()) == ["batchnorm", "magnitude"]
    assert all(a["task"] == "kmeans_init" for a in about.values())
