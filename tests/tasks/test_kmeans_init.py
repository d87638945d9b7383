"""k-means initialisation as a task of zero images, and as what other tasks start from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from hydra import compose
from omegaconf import DictConfig
from rich.console import Console

from pretext.backbones.batchnorm import norms
from pretext.data.dataset import DataSet
from pretext.data.loader import EpochLoader
from pretext.encoder import load
from pretext.fit import Validation, load_task, pretrain
from pretext.task import Task
from pretext.tasks.colorization import Colorization
from pretext.tasks.kmeans_init import KMeansInit
from pretextbench import runs

Compose = Callable[..., DictConfig]


@pytest.fixture
def composed(hydra: None) -> Compose:
    return lambda *overrides: compose("config", overrides=["+backbone.widths=[8,8,8,8,8]", *overrides])


def fit(folder: Path, task: Task, **changes: Any) -> None:
    settings = {
        "cache": folder / "cache", "name": "kmeans_init", "seed": 0, "batch_size": 8, "epochs": 0,
        "optimisation": None, "device": "cpu", "validation": Validation(bank=0, pictures=2),
        "console": Console(file=io.StringIO()),
    }  # fmt: skip
    pretrain(task, toy.split(40, 0), toy.split(8, 1, "val"), folder=folder, **{**settings, **changes})


def test_a_run_of_zero_steps_leaves_units_of_unit_deviation(tmp_path: Path) -> None:
    fit(tmp_path, KMeansInit(toy.encoder(), images=40))
    encoder = load(tmp_path)
    assert encoder.provenance["task"] == "kmeans_init"
    assert encoder.provenance["images_seen"] == 0
    assert encoder.provenance["calibration"] == "batchnorm"
    for norm in norms(encoder):  # re-estimated on the same 40 images, in batches
        torch.testing.assert_close(norm.running_var, torch.ones(8), rtol=0.15, atol=0)
    before = toy.encoder().state_dict()
    weights = [name for name in before if name.endswith("conv.weight")]
    assert len(weights) == 5
    assert not any(torch.equal(before[name], encoder.state_dict()[name]) for name in weights)


def test_the_same_seed_makes_the_same_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(tmp_path / name, KMeansInit(toy.encoder(), images=40), seed=seed)
    digests = [load(tmp_path / name).digest() for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(("images", "batch"), [(4, 4), (8, 4), (40, 8), (100, 8), (7, 3)])
def test_images_come_from_all_over_the_split(images: int, batch: int) -> None:
    split = toy.split(40, 0)
    task = KMeansInit(toy.encoder(), images=images, crop=32)
    loader = EpochLoader(split, batch, shuffle=False, drop_last=False)
    few = task._few(loader)
    everything = torch.cat([b.pixels for b in loader])
    places = [int((everything == image).flatten(1).all(1).nonzero()[0]) for image in few]
    assert len(places) == len(set(places)) == min(images, 40)
    assert places == sorted(places)
    assert max(places) >= 40 * 0.7
    assert KMeansInit(toy.encoder(), crop=20)._few(loader).shape[-2:] == (20, 20)


def test_another_task_starts_from_it(composed: Compose, few_scenes: DataSet, tmp_path: Path) -> None:
    cfg = composed("initialisation=kmeans_init", "pretext=colorization", f"output={tmp_path}")
    run, *twins = runs.with_twins(cfg, few_scenes, "fp32")
    assert run.name == "colorization_from_kmeans_init"
    assert run.parent is not None
    assert run.parent.name == "kmeans_init"
    assert run.spec["parent"] == run.parent.digest
    assert runs.provenance(run)["initialisation"] == "kmeans_init"
    assert [(t.name, t.parent) for t in twins] == [("random", None), ("supervised", None)]
    plain = runs.with_twins(composed("pretext=colorization", f"output={tmp_path}"), few_scenes, "fp32")
    assert run.digest != plain[0].digest
    assert [t.digest for t in twins] == [t.digest for t in plain[1:]]
    task, parent = runs.build_task(run), runs.build_task(run.parent)
    parent.prepare(EpochLoader(few_scenes.train, 16, shuffle=False), tmp_path)
    head = {name: value.clone() for name, value in task.head.state_dict().items()}
    task.initialise_from(parent)
    assert task.encoder.digest() == parent.encoder.digest()
    assert all(torch.equal(value, task.head.state_dict()[name]) for name, value in head.items())


def test_a_child_of_a_trained_task_starts_from_a_parent_that_started_so(
    composed: Compose, few_scenes: DataSet
) -> None:
    cfg = composed("initialisation=kmeans_init", "pretext=colorization_l2_ft")
    run = runs.one(cfg, cfg.pretext, few_scenes, "fp32")
    assert run.parent is not None
    assert run.parent.parent is not None
    assert (run.parent.name, run.parent.parent.name) == ("colorization_from_kmeans_init", "kmeans_init")


def test_only_tasks_of_zero_images_initialise(composed: Compose, few_scenes: DataSet) -> None:
    cfg = composed("initialisation=rotation")
    with pytest.raises(ValueError, match="initialisation=rotation trains"):
        runs.one(cfg, cfg.pretext, few_scenes, "fp32")


def test_survives_saving(tmp_path: Path) -> None:
    fit(tmp_path, KMeansInit(toy.encoder(), images=20, patches=500, crop=24))
    task = load_task(tmp_path)
    assert isinstance(task, KMeansInit)
    assert task.arguments == {"images": 20, "patches": 500, "crop": 24}
    child = Colorization(toy.encoder(seed=5), hidden=8)
    child.initialise_from(task)
    assert child.encoder.digest() == task.encoder.digest()


def test_it_has_nothing_to_train() -> None:
    task = KMeansInit(toy.encoder())
    assert task.param_groups() == []
    with pytest.raises(RuntimeError, match="zero steps"):
        task.loss(task.views(toy.batch(), torch.Generator()))
    with pytest.raises(ValueError, match="from 1"):
        KMeansInit(toy.encoder(), images=0)
