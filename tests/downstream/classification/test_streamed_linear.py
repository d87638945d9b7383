"""The streamed linear protocols: truth on planted features, what they choose, and the published budgets."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from planted import CLASSES, SIZE, labelled, planted, single_label, small_encoder
from torch import Tensor
from torch.nn import functional as F

from downstream.classification.dino_linear import DinoLinear
from downstream.classification.dinov2_grid import Dinov2Grid
from downstream.classification.goyal19_linear import Goyal19Linear
from downstream.classification.moco_linear import MocoLinear
from downstream.classification.zhang16_linear import Zhang16Linear, Zhang16LinearAverage
from downstream.images.augment import ResizedCrop, ShiftedCrop
from downstream.judge.catalogue import facts
from downstream.protocol import Runtime
from pretext.backbones import Stage
from pretext.data.dataset import Split
from pretext.data.split import make_split
from pretext.encoder import Encoder

CONF = Path(__file__).parents[3] / "conf" / "downstream"
NAMES = (
    "zhang16_linear", "zhang16_linear_average", "goyal19_linear", "moco_linear", "dino_linear", "dinov2_grid",
)  # fmt: skip


def protocol(name: str, **recipe: Any) -> Any:
    """The protocol of that YAML, with some of its recipe changed."""
    made = instantiate(OmegaConf.load(CONF / f"{name}.yaml"), _convert_="all")
    return replace(made, recipe=replace(made.recipe, **recipe)) if recipe else made


def small(name: str) -> Any:
    """Forty steps; the rates that would not move in so few replaced."""
    plain = protocol(name)
    batch: dict[str, Any] = {"batch_size": 64, "base_batch": None}
    if name in ("dino_linear", "dinov2_grid"):
        batch["lrs"] = (0.1,) if name == "dino_linear" else (0.01, 0.1, 0.3)
    unit = 1 if plain.recipe.iterations else 4
    return protocol(name, share=40 / unit / plain.recipe.budget, **batch)


def coded(name: str, examples: int, seed: int, several: bool) -> Split:
    """Noise whose red channel is the class everywhere, or which classes there are, so that crops keep it."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (examples, SIZE, SIZE, 3), dtype=np.uint8)
    if several:
        labels: Any = (generator.random((examples, CLASSES)) < 0.4).astype(np.uint8)
        code = labels @ (1 << np.arange(CLASSES))
    else:
        labels = code = generator.permutation(np.arange(examples) % CLASSES)
    pixels[..., 0] = code[:, None, None]
    return make_split(name, pixels, labels=labels)


def knowing(several: bool) -> Encoder:
    """Five stages, of which the last knows the labels; the others tell one colour, which is no class."""

    def hide(x: Tensor) -> Tensor:
        return x[:, :1] * 1e-9  # kept for the last stage, too small for a head

    def read(x: Tensor) -> Tensor:
        code = (x[:, 0, :4, :4] * 1e9).round().long()
        bits = [(code >> c) & 1 for c in range(CLASSES)]
        known = torch.stack(bits, 1) if several else F.one_hot(code, CLASSES).permute(0, 3, 1, 2)
        return known.float()

    stages = [(Stage(f"s{i}", 1, 1), hide if i == 0 else lambda x: x) for i in range(4)]
    return planted(f"knowing{several}", *stages, (Stage("knows", CLASSES, 4), read))


def top(made: Any, encoder: Encoder, make: Callable[..., Split], seed: int = 1) -> tuple[float, Any]:
    fitted = made.fit(encoder, make("train", 256, seed), make("val", 100, seed + 1), Runtime())
    test = make("test", 200, seed + 2)
    metric = next(iter(made.metrics(test).values()))
    return metric(fitted.predict(test)[fitted.stage]), fitted


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_planted_feature_gives_everything(name: str, several: bool) -> None:
    value, fitted = top(small(name), knowing(several), lambda *a: coded(*a, several=several))
    assert value == 1
    assert fitted.stage == "knows"
    assert fitted.train_score == 1


@pytest.mark.parametrize("name", NAMES)
def test_permuted_labels_stay_at_chance(name: str) -> None:
    train, val = (single_label(split, n, n, permuted=True) for split, n in (("train", 256), ("val", 100)))
    made, test = small(name), single_label("test", 1000, 3)
    fitted = made.fit(small_encoder(), train, val, Runtime())
    for rows in fitted.predict(test).values():
        # Binomial: 0.2 with a standard deviation of 0.0126.
        assert made.metrics(test)["top1"](rows) == pytest.approx(1 / CLASSES, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_and_what_is_chosen(name: str) -> None:
    made, encoder = small(name), small_encoder()
    if name == "dinov2_grid":
        made = replace(made, dimension=64)

    def make(split: str, examples: int, seed: int) -> Split:
        return coded(split, examples, seed, several=False)

    _, fitted = top(made, encoder, make)
    stages = set(encoder.stage_names) if name.startswith(("zhang", "goyal")) else {"conv5"}
    assert {trial.stage for trial in fitted.trials} == stages
    val = make("val", 100, 2)
    rows = fitted.predict(val)
    assert set(rows) == stages
    for stage, found in rows.items():
        best = max(trial.val for trial in fitted.trials if trial.stage == stage)
        assert made.metrics(val)["top1"](found) == pytest.approx(best)
        assert found["scores"].dtype == np.float32
    if name == "dinov2_grid":
        assert len(fitted.trials) == 3 * 4
        assert made.selects == ("reading", "lr")
        assert set(fitted.selected) == {"lr", "reading"}
    else:
        assert len(fitted.trials) == len(stages)
        assert made.selects == (("stage",) if len(stages) > 1 else ())
        assert set(fitted.selected) == {"lr"}


def test_yamls_state_the_published_budgets_and_classes_agree() -> None:
    kinds = (Zhang16Linear, Zhang16LinearAverage, Goyal19Linear, MocoLinear, DinoLinear, Dinov2Grid)
    for name, kind in zip(NAMES, kinds, strict=True):
        assert protocol(name) == kind()
        assert kind.name == name
    for name in NAMES[:3]:
        recipe = protocol(name).recipe
        assert (recipe.lrs, recipe.iterations, recipe.batch_size) == ((0.01,), 140_000, 256)
        assert recipe.milestones == (40_000, 80_000, 120_000)
        assert recipe.normalise
        assert (recipe.momentum, recipe.nesterov) == (0.9, name == "goyal19_linear")
        assert recipe.weight_decay == (1e-4 if name == "goyal19_linear" else 5e-4)
    moco = protocol("moco_linear").recipe
    assert (moco.lrs, moco.epochs, moco.milestones, moco.batch_size) == ((30,), 100, (60, 80), 256)
    dino = protocol("dino_linear").recipe
    assert (dino.scaled_lrs(10**6), dino.epochs, dino.milestones) == ([0.004], 100, ())
    grid = protocol("dinov2_grid")
    assert len(grid.recipe.lrs) == 13
    assert (grid.recipe.lrs[0], grid.recipe.lrs[-1], grid.recipe.iterations) == (1e-5, 0.1, 12_500)
    assert grid.blocks == (1, 4)
    for recipe in (moco, dino, grid.recipe):
        assert (recipe.weight_decay, recipe.normalise, recipe.nesterov) == (0, False, False)
    assert isinstance(protocol("zhang16_linear").augment, ShiftedCrop)
    assert isinstance(protocol("moco_linear").augment, ResizedCrop)


def test_facts() -> None:
    assert facts(protocol("zhang16_linear")).cost == "augmented; 140000 steps"
    assert facts(protocol("moco_linear", share=0.01)).cost == "augmented; 1 epoch"
    assert facts(protocol("moco_linear")).chosen == "nothing"
    assert facts(protocol("goyal19_linear")).chosen == "stage on val"
    assert facts(protocol("dinov2_grid")).chosen == "reading, lr on val"
    assert facts(protocol("dino_linear")).frozen == "encoder"


def test_a_limited_training_set_is_what_is_trained_on() -> None:
    made = replace(small("moco_linear"), train_limit=30)
    train, val = coded("train", 100, 1, False), coded("val", 50, 2, False)
    one, all_of_it = (p.fit(small_encoder(), train, val, Runtime()) for p in (made, small("moco_linear")))
    assert not np.allclose(*(f.predict(val)["conv5"]["scores"] for f in (one, all_of_it)))


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_named(name: str) -> None:
    made, encoder = small(name), small_encoder()
    good = np.arange(40) % 3

    def fit(train: Split, val: Split) -> None:
        made.fit(encoder, train, val, Runtime())

    with pytest.raises(ValueError, match="no example of class 1, 3"):
        fit(labelled(good * 2), labelled(good, "val"))
    with pytest.raises(ValueError, match="split 'val': example 1 has label 4; train has 3 classes"):
        fit(labelled(good), labelled(np.array([0, 4]), "val"))
    wide = make_split("train", np.zeros((40, 16, 20, 3), np.uint8), labels=good)
    with pytest.raises(ValueError, match="need square images, got 16×20"):
        fit(wide, labelled(good, "val"))
    fitted = made.fit(encoder, labelled(good), labelled(good, "val"), Runtime())
    with pytest.raises(ValueError, match="split 'test' has several classes an image"):
        fitted.predict(labelled(np.eye(3, dtype=np.uint8), "test"))


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="dimension must be at least 1, got 0"):
        Zhang16Linear(dimension=0)
    with pytest.raises(ValueError, match="dimension must be at least 1, got 0"):
        Goyal19Linear(dimension=0)
    with pytest.raises(ValueError, match="dino_linear: blocks must be at least 1, got 0"):
        DinoLinear(blocks=0)
    with pytest.raises(ValueError, match="dinov2_grid: blocks must be numbers from 1"):
        Dinov2Grid(blocks=())
    with pytest.raises(ValueError, match="dinov2_grid: dimension must be at least 1"):
        Dinov2Grid(dimension=0)
