"""The paper's full recipe: what it resolves to, one real step of it, and the page that works out its cost."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from hydra import compose
from omegaconf import DictConfig
from rich.console import Console

from benchmarks import zhang16
from pretext import inputs
from pretext.backbones import ColorNet
from pretext.data.dataset import DataSet
from pretext.encoder import load
from pretext.fit import Validation, load_task, pretrain
from pretext.tasks.block8 import Block8
from pretext.tasks.colorization import Colorization
from pretext.tasks.kmeans_init import KMeansInit
from pretextbench import runs
from pretextbench.runs import Run

FOLDER = "data=folder"
"""ImageNet itself is not at hand; nothing of its reader is needed to compose the rest."""


@pytest.fixture
def cfg(hydra: None) -> DictConfig:
    return compose("config", overrides=["experiment=zhang16", FOLDER])


@pytest.fixture
def run(cfg: DictConfig, few_scenes: DataSet) -> Run:
    return runs.one(cfg, cfg.pretext, few_scenes, "fp32")


def test_without_overrides_it_reads_imagenet_and_only_pretrains(hydra: None) -> None:
    cfg = compose("config", overrides=["experiment=zhang16"])
    assert cfg.data._target_.startswith("pretext.data.imagenet")
    assert cfg.data["size"] == 256
    assert cfg.job.name == "pretrain"


def test_states_the_published_recipe(run: Run) -> None:
    task = runs.build_task(run)
    assert isinstance(task, Colorization)
    assert isinstance(task.encoder.backbone, ColorNet)
    assert isinstance(task.head, Block8)
    assert sum(p.numel() for p in task.parameters()) == 32_230_393
    white = task.encoder.input(torch.ones(1, 3, 2, 2))
    assert white.max().item() == pytest.approx(50, abs=1e-3)
    said = {key: task.arguments[key] for key in ("neighbours", "rebalance", "temperature", "crop", "padding")}
    assert said == {"neighbours": 10, "rebalance": 0.5, "temperature": 0.38, "crop": 176, "padding": 0}
    budget = run.spec["budget"]
    assert budget["epochs"] * budget["epoch_batches"] == 500_000
    assert (budget["batch_size"], budget["gradient_clip"], budget["accumulate"]) == (40, None, 1)
    assert run.name == "colorization_from_kmeans_init"
    assert run.parent is not None
    assert isinstance(runs.build_task(run.parent), KMeansInit)
    assert run.parent.spec["input_arguments"] == run.spec["input_arguments"] == {"scale": 1.0}


def test_learning_rate_by_iteration(run: Run) -> None:
    plan = runs.build_optimisation(run)
    assert plan is not None
    rates = [3e-5 * plan.share(step, 500_000) for step in (0, 224_999, 225_000, 449_999, 450_000)]
    assert rates == pytest.approx([3e-5, 3e-5, 3e-6, 3e-6, 3e-7])
    optimizer = plan.optimizer(runs.build_task(run).param_groups())
    assert type(optimizer) is torch.optim.Adam
    assert tuple(optimizer.param_groups[0]["betas"]) == (0.9, 0.99)


def test_mean_loss_with_scaled_decay_steps_as_the_summed_loss_does(run: Run) -> None:
    """The release: Adam on Σ over 44² positions, decay 0.001, ε 1e-8, both of the sum's scale."""
    arguments = {k: v for k, v in run.spec["optimizer"].items() if k != "_target_"}
    weights = []
    for scale, options in ((1.0, arguments), (44.0**2, arguments | {"weight_decay": 1e-3, "eps": 1e-8})):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(50, dtype=torch.float64))
        optimizer = torch.optim.Adam([weight], **options)
        for _ in range(20):
            optimizer.zero_grad()
            (scale * (weight * torch.randn(50, dtype=torch.float64)).sin().mean()).backward()
            optimizer.step()
        weights.append(weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-6, atol=1e-9)


def fit(task: Any, folder: Path, **changes: Any) -> Any:
    settings = {
        "cache": folder / "cache", "name": "zhang16", "seed": 0, "device": "cpu",
        "validation": Validation(bank=0, pictures=1, images=1), "console": Console(file=io.StringIO()),
    }  # fmt: skip
    train, val = toy.split(4, 0, size=192), toy.split(1, 1, "val", size=192)
    return pretrain(task, train, val, folder=folder, **{**settings, **changes})


@pytest.mark.slow
def test_one_real_step_at_176_pixels(run: Run, tmp_path: Path) -> None:
    task = runs.build_task(run)
    before = {name: value.clone() for name, value in task.named_parameters()}
    result = fit(
        task, tmp_path, epochs=1, epoch_batches=1, batch_size=2, optimisation=runs.build_optimisation(run)
    )
    assert (result.steps, result.images_seen) == (1, 2)
    assert all(torch.isfinite(torch.tensor(list(result.measures.values()))))
    trained = load_task(tmp_path)
    moved = {name: (value - before[name]).detach().abs() for name, value in trained.named_parameters()}
    assert all(
        0 < float(change.max()) <= 3.1e-5 for change in moved.values()
    )  # Adam's first step is the rate
    assert load(tmp_path).input.arguments == {"scale": 1.0}


@pytest.mark.slow
def test_the_trunk_starts_from_its_clusters(run: Run, few_scenes: DataSet, tmp_path: Path) -> None:
    """The initialisation at a size that a test can bear: 576 positions for 512 clusters."""
    assert run.parent is not None
    torch.manual_seed(0)
    parent = KMeansInit(runs.build_task(run.parent).encoder, images=16, patches=560, crop=48)
    pretrain(
        parent, few_scenes.train, few_scenes.val, folder=tmp_path, cache=tmp_path, name="kmeans_init", seed=0,
        epochs=0, batch_size=16, optimisation=None, device="cpu",
        validation=Validation(bank=0, pictures=1, images=1), console=Console(file=io.StringIO()),
    )  # fmt: skip
    task = runs.build_task(run)
    task.initialise_from(load_task(tmp_path))
    assert task.encoder.digest() == load(tmp_path).digest()
    x = task.encoder.input(torch.rand(2, 3, 48, 48))
    with torch.no_grad():
        maps = task.encoder.eval().backbone(x).maps
    assert all(bool(torch.isfinite(m).all()) for m in maps.values())


def test_the_page_says_what_the_network_and_the_recipe_are() -> None:
    config = zhang16.recipe()
    assert zhang16.PAGE.read_text() == zhang16.page(config), "run `python -m benchmarks.zhang16`"
    text = zhang16.PAGE.read_text()
    assert "32,230,393" in text
    assert "500,000 × 40 = 20,000,000 images" in text
    # 83.54 GFLOP at 256 pixels without the decode to ab, by area.
    assert f"{83.544 * (176 / 256) ** 2:.2f} GFLOP" in text
    assert inputs.build("lightness", scale=1.0).arguments == config["input_arguments"]
