"""Published recipes: what each experiment resolves to, against its source; that it runs; its page."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hydra import compose
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from benchmarks import recipes
from downstream.leaderboard.published import read_published
from pretext.task import Images
from pretext.views import Distortion
from pretextbench import dispatch, runs, targets, trial
from pretextbench.configurations import CONF
from pretextbench.runs import Run

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
KNOWN = {each.name: each for each in recipes.recipes()}
SOLO = [name for name in KNOWN if name.startswith("solo_")]
LIGHTLY = [name for name in KNOWN if name.startswith("lightly_")]

# Written by hand from the sources that the YAMLs name, not read back from them.
SYMMETRIC = {
    "area": (0.08, 1.0),
    "jitter": (0.8, 0.8, 0.8, 0.2),
    "gray": 0.2,
    "blur": (0.5, 0.5),
    "kernel": 13,
}
WEAK = {"area": (0.08, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1), "gray": 0.2, "blur": (0.5, 0.5), "kernel": 13}
ASYMMETRIC = {"area": (0.08, 1.0), "jitter": (0.4, 0.4, 0.2, 0.1), "gray": 0.2, "solarise": (0.0, 0.2)}
VIEWS: dict[str, dict[str, Any]] = {
    "solo_simclr": SYMMETRIC,
    "solo_swav": SYMMETRIC,
    "solo_moco": WEAK,
    "solo_simsiam": WEAK,
    "solo_byol": ASYMMETRIC,
    "solo_barlow_twins": ASYMMETRIC,
    "solo_dino": ASYMMETRIC,
    "solo_vicreg": {**ASYMMETRIC, "area": (0.2, 1.0), "solarise": (0.1, 0.1)},
    "lightly_simclr": {"area": (0.08, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1), "gray": 0.2},
    "lightly_byol": ASYMMETRIC,
    "lightly_simsiam": {"area": (0.2, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1), "gray": 0.2},
    "lightly_swav": {"area": (0.14, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1), "gray": 0.2},
}
CONSTANTS: dict[str, dict[str, Any]] = {
    "solo_simclr": {"temperature": 0.2, "hidden": 2048, "outputs": 256, "layers": 2, "norm": False},
    "solo_byol": {"hidden": 4096, "outputs": 256, "momentum": 0.99, "last_momentum": 1.0},
    "solo_barlow_twins": {"hidden": 2048, "redundancy": 0.0051, "scale": 0.1},
    "solo_vicreg": {"hidden": 2048, "invariance": 25, "variance": 2 * 25, "covariance": 1},
    "solo_moco": {
        "temperature": 0.2, "hidden": 2048, "outputs": 256, "queue": 32768, "momentum": 0.99,
        "last_momentum": 0.999, "symmetric": True, "splits": 1,
    },
    "solo_simsiam": {"hidden": 2048, "bottleneck": 512, "layers": 3},
    "solo_dino": {
        "small": 0, "hidden": 2048, "bottleneck": 256, "prototypes": 4096, "temperature": 0.1, "warming": 0.0,
        "teacher_temperature": 0.07, "frozen": 1 / 1000, "momentum": 0.9995, "centre_momentum": 0.9,
    },
    "solo_swav": {
        "small": 0, "hidden": 2048, "outputs": 128, "prototypes": 3000, "queue": 3840, "queue_from": 50,
        "frozen": 2 / 1000, "temperature": 0.1, "epsilon": 0.05, "rounds": 3,
    },
    "lightly_simclr": {"temperature": 0.5, "hidden": 512, "outputs": 128, "layers": 2, "norm": True},
    "lightly_byol": {"hidden": 1024, "outputs": 256, "momentum": 0.99, "last_momentum": 0.99},
    "lightly_simsiam": {"hidden": 2048, "bottleneck": 512, "layers": 2},
    "lightly_swav": {
        "small": 0, "hidden": 512, "outputs": 128, "prototypes": 512, "queue": 0, "frozen": 0.0,
        "temperature": 0.1, "epsilon": 0.05, "rounds": 3,
    },
}  # fmt: skip
LARS = {"momentum": 0.9, "trust_coeff": 0.02, "trust_clip": True}
OPTIMISERS: dict[str, tuple[str, dict[str, Any]]] = {
    "solo_simclr": ("Lars", {"lr": 0.4, "weight_decay": 1e-4, **LARS}),
    "solo_byol": ("Lars", {"lr": 1.0, "weight_decay": 1e-5, **LARS}),
    "solo_barlow_twins": ("Lars", {"lr": 0.3, "weight_decay": 1e-4, **LARS}),
    "solo_vicreg": ("Lars", {"lr": 0.3, "weight_decay": 1e-4, **LARS}),
    "solo_dino": ("Lars", {"lr": 0.3, "weight_decay": 1e-6, **LARS}),
    "solo_swav": ("Lars", {"lr": 0.6, "weight_decay": 1e-6, **LARS}),
    "solo_moco": ("SGD", {"lr": 0.3, "weight_decay": 1e-4, "momentum": 0.9}),
    "solo_simsiam": ("SGD", {"lr": 0.5, "weight_decay": 1e-5, "momentum": 0.9}),
    "lightly_simclr": ("SGD", {"lr": 0.06, "weight_decay": 5e-4, "momentum": 0.9}),
    "lightly_simsiam": ("SGD", {"lr": 0.06, "weight_decay": 5e-4, "momentum": 0.9}),
    # Of a loss that is four times as large: the steps are those of 0.06 and 5e-4.
    "lightly_byol": ("SGD", {"lr": 0.06 / 4, "weight_decay": 4 * 5e-4, "momentum": 0.9}),
    "lightly_swav": ("Adam", {"lr": 1e-3, "weight_decay": 1e-6, "betas": (0.9, 0.999)}),
    "rotnet_cifar10": ("SGD", {"lr": 0.1, "weight_decay": 5e-4, "momentum": 0.9, "nesterov": True}),
}
METHODS = {"moco": "moco_v2+"}
QUICK = ("lightly_simclr", "rotnet_cifar10")
"""Recipes whose steps a test can bear at any time."""


@pytest.fixture
def asked(hydra: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DictConfig]:
    monkeypatch.setenv("PRETEXTBENCH_DATA", "nowhere")
    return lambda name, *more: compose("config", overrides=[f"experiment={name}", *more])


@pytest.fixture
def run_of(asked: Callable[..., DictConfig]) -> Callable[[str], Run]:
    def one(name: str) -> Run:
        cfg = asked(name)
        return runs.one(cfg, cfg.pretext, recipes.stand_in(), "fp32")

    return one


class Seen(NamedTuple):
    """areas, sides: of crops. distortions: of their colours."""

    areas: set[tuple[float, float]]
    sides: set[int]
    distortions: list[Distortion]


def seen_views(run: Run, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Draw the views of a few images and note what was asked for."""
    seen = Seen(set(), set(), [])
    module = sys.modules["pretext.views.multi_crop"]  # a function of the package has its name
    crops, distort = module.random_resized_crop, Distortion.__call__

    def crop(pixels: Tensor, size: int, generator: torch.Generator, scale: Any, *rest: Any) -> Tensor:
        seen.areas.add(tuple(scale))
        seen.sides.add(size)
        return crops(pixels, size, generator, scale, *rest)

    def note(self: Distortion, pixels: Tensor, generator: torch.Generator) -> Tensor:
        seen.distortions.append(self)
        return distort(self, pixels, generator)

    monkeypatch.setattr(module, "random_resized_crop", crop)
    monkeypatch.setattr(Distortion, "__call__", note)
    runs.build_task(run).views(images(4), torch.Generator().manual_seed(0))
    return seen


def images(count: int) -> Images:
    draw = torch.Generator().manual_seed(1)
    return Images(torch.rand(count, 3, 32, 32, generator=draw), torch.arange(count), None)


def test_every_recipe_has_its_expectations_and_every_experiment_is_a_recipe_or_known() -> None:
    assert set(EXPERIMENTS) == {*KNOWN, "smoke", "zhang16", "rgb_control"}
    assert set(VIEWS) == set(CONSTANTS) == {*SOLO, *LIGHTLY} == set(OPTIMISERS) - {"rotnet_cifar10"}
    assert len(SOLO) == 8
    for recipe in KNOWN.values():
        assert tuple(recipe.said) == recipes.KEYS, recipe.name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_names_what_there_is(name: str, asked: Callable[..., DictConfig]) -> None:
    targets.check(asked(name))


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_the_sources(
    name: str, run_of: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    want, seen = VIEWS[name], seen_views(run_of(name), monkeypatch)
    assert seen.areas == {want["area"]}
    assert seen.sides == {32}
    for made in seen.distortions:
        jitter = (made.brightness, made.contrast, made.saturation, made.hue)
        assert (made.jitter, jitter) == (0.8, pytest.approx(want["jitter"]))
        assert made.gray == want["gray"]
        assert made.sigma == (0.1, 2.0)
        assert made.kernel_size == want.get("kernel", made.kernel_size)
    assert {made.blur for made in seen.distortions} == set(want.get("blur", (0.0,)))
    assert {made.solarise for made in seen.distortions} == set(want.get("solarise", (0.0,)))


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_the_sources(name: str, run_of: Callable[[str], Run]) -> None:
    task = runs.build_task(run_of(name))
    found = {key: task.arguments[key] for key in CONSTANTS[name]}
    assert found == pytest.approx(CONSTANTS[name])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_optimiser_is_the_sources(name: str, run_of: Callable[[str], Run]) -> None:
    run = run_of(name)
    plan = runs.build_optimisation(run)
    assert plan is not None
    groups = runs.build_task(run).param_groups()
    optimizer = plan.optimizer(groups)
    kind, options = OPTIMISERS[name]
    assert type(optimizer).__name__ == kind
    first = optimizer.param_groups[0]
    for key, value in options.items():
        assert first[key] == pytest.approx(value), key
    assert plan.clip is None
    assert plan.decay_end == 1
    if kind == "Lars":  # weights of one dimension: no decay, and so no adaptation
        (second,) = optimizer.param_groups[1:]
        assert (second["weight_decay"], second["always_adapt"]) == (0, False)
        assert {p.dim() for p in second["params"]} == {1}
        assert all(p.dim() > 1 for p in first["params"])
    elif name in ("solo_moco", "solo_simsiam", "lightly_simsiam"):  # all decayed
        assert {group["weight_decay"] for group in optimizer.param_groups} == {options["weight_decay"]}


def test_how_long_and_at_what_rate(run_of: Callable[[str], Run]) -> None:
    for name in KNOWN:
        run = run_of(name)
        epochs, batch, warm = (1000, 256, 10) if name in SOLO else (200, 128, 0)
        budget, plan = run.spec["budget"], runs.build_optimisation(run)
        assert plan is not None
        assert (budget["epochs"], budget["batch_size"], budget["accumulate"]) == (epochs, batch, 1)
        assert budget["epoch_batches"] is None
        total = 100 * epochs
        rates = [plan.share(step, total) for step in (100 * warm, total // 2, total - 1)]
        if name == "rotnet_cifar10":
            rates = [0.1 * plan.share(100 * epoch, total) for epoch in (0, 59, 60, 119, 120, 159, 160, 199)]
            expected = [0.1, 0.1, 0.02, 0.02, 0.004, 0.004, 0.0008, 0.0008]
            assert rates == pytest.approx(expected)
            continue
        middle = (1 + math.cos(math.pi * (total / 2 - 100 * warm) / (total - 100 * warm))) / 2
        assert rates == pytest.approx([1, middle, 0], abs=1e-6)
        if warm:
            assert plan.share(499, total) == pytest.approx(0.5)


@pytest.mark.parametrize("name", [*SOLO, *LIGHTLY])
def test_the_network_is_the_resnet18_of_cifar(name: str, run_of: Callable[[str], Run]) -> None:
    encoder = runs.build_encoder(run_of(name))
    assert sum(p.numel() for p in encoder.parameters()) == 11_168_832
    first = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d))
    padding = 2 if name in SOLO else 1
    assert (first.in_channels, first.kernel_size, first.stride) == (3, (3, 3), (1, 1))
    assert first.padding == (padding, padding)
    assert not any(isinstance(m, nn.MaxPool2d) for m in encoder.modules())
    with torch.no_grad():
        last = encoder.eval()(torch.rand(1, 3, 32, 32)).maps[encoder.stage_names[-1]]
    assert last.shape == (1, 512, *([5, 5] if name in SOLO else [4, 4]))
    mean = (0.4914, 0.4822, 0.4465) if name in SOLO else (0.485, 0.456, 0.406)
    std = (0.247, 0.243, 0.261) if name in SOLO else (0.229, 0.224, 0.225)
    assert encoder.input.arguments == {"mean": list(mean), "std": list(std)}


def test_rotnets_network_sees_four_turns_of_crops_in_a_border(run_of: Callable[[str], Run]) -> None:
    run = run_of("rotnet_cifar10")
    task = runs.build_task(run)
    assert type(task.encoder.backbone).__name__ == "NetworkInNetwork"
    assert task.encoder.backbone.in_channels == 3
    assert task.arguments["padding"] == 4
    assert task.views(images(3), torch.Generator()).pixels.shape == (12, 3, 32, 32)


@pytest.mark.parametrize("name", [*SOLO, *LIGHTLY])
def test_what_is_expected_is_what_is_published(name: str) -> None:
    """The numbers that a head names are those of the table of published numbers, by the protocol it names."""
    expected = KNOWN[name].said["Expected"]
    told = {data: float(value) for data, value in re.findall(r"(CIFAR-10+) (\d+\.\d+) %", expected)}
    method = name.partition("_")[2]
    suite = "solo_learn_online_linear" if name in SOLO else "batch 128, 200 epochs"
    assert (suite if name in SOLO else "(knn)") in expected
    rows = [
        row
        for row in read_published()
        if row.method == METHODS.get(method, method) and suite in f"{row.protocol} {row.variant}"
    ]
    assert told == {row.data.replace("cifar", "CIFAR-"): float(row.value) for row in rows}
    assert len(told) == (2 if name in SOLO else 1)


def paint(folder: Path, side: int) -> None:
    for kind in ("ant", "bee"):
        (folder / kind).mkdir(parents=True)
        for i in range(20):
            pixels = np.random.default_rng([i, len(kind), side]).integers(
                0, 255, (side, side, 3), dtype=np.uint8
            )
            Image.fromarray(pixels + np.uint8(kind == "bee")).save(folder / kind / f"{i}.png")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KNOWN]
)
def test_a_dry_run_says_what_there_is_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a folder of 32-pixel images for CIFAR, a batch and a queue that it bears."""
    paint(tmp_path / "photos", 32)
    monkeypatch.chdir(tmp_path)
    few = ["pretext.task.queue=8"] if name in ("solo_moco", "solo_swav") else []
    line = [
        "data=folder", "data.root=photos", "data.size=32", "data.val=0.2", "data.test=0.2", "job=pretrain",
        f"experiment={name}", "trainer.batch_size=4", "trainer.device=cpu", "logger=none", "dry_run=true",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["run.py", *line, *few])
    assert dispatch.main() == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "to do" in shown
    assert not (tmp_path / "outputs" / "runs").exists()


class TestPage:
    @pytest.mark.parametrize("name", ["rotnet_cifar10", "lightly_simclr"])
    def test_its_row_is_what_network_and_recipe_are(self, name: str) -> None:
        own = recipes.cost(name)
        machines = [m for m in recipes.MACHINES if m.name in recipes.SHOWN]
        line = f"| {' | '.join(recipes.row(name, own, machines))} |"
        assert line in recipes.PAGE.read_text(), "run `python -m benchmarks.recipes`"
        assert own.images == 200 * (45_000 // 128) * 128
        # Multiply-adds of convolutions, forward and twice backward; the first has no gradient of pixels.
        if name == "rotnet_cifar10":
            per_view = (25 * 3 * 192 + 192 * 160 + 160 * 96) * 32**2
            per_view += (25 * 96 * 192 + 2 * 192**2) * 16**2 + 2 * (9 * 192**2 + 2 * 192**2) * 8**2
            first, views = 25 * 3 * 192 * 32**2, 4
        else:
            sides = {64: 32, 128: 16, 256: 8, 512: 4}
            per_view = 9 * 3 * 64 * 32**2 + 4 * 9 * 64 * 64 * 32**2
            for width in (128, 256, 512):
                half = width // 2
                per_view += (9 * half * width + 3 * 9 * width**2 + half * width) * sides[width] ** 2
            first, views = 9 * 3 * 64 * 32**2, 2
        assert own.views == views
        assert own.flops / own.images == pytest.approx(2 * views * (3 * per_view - first), rel=2e-3)

    def test_it_names_all_of_each_recipe(self) -> None:
        text = recipes.PAGE.read_text()
        assert "Computed, not" in text
        for recipe in KNOWN.values():
            _, _, section = text.partition(f"## `{recipe.name}`")
            section, _, _ = section.partition("\n## ")
            assert recipe.about in section
            for key, said in recipe.said.items():
                assert f"- **{key}:** {said}\n" in section

    @pytest.mark.slow
    def test_it_is_what_its_sources_say(self) -> None:
        costs = {name: recipes.cost(name) for name in KNOWN}
        assert recipes.PAGE.read_text() == recipes.page(costs), "run `python -m benchmarks.recipes`"


def test_counts_are_carried_by_the_parabola_through_them() -> None:
    def of(size: int) -> int:
        return 7 * size * size + 11 * size + 5

    assert recipes.carried([2, 4, 6], [of(2), of(4), of(6)], 256) == of(256)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_optimiser_can_be_made_before_any_data(name: str, asked: Callable[..., DictConfig]) -> None:
    trial.check_optimizer(asked(name))


@pytest.mark.parametrize("key", ["betas", "lr", "weight_decay"])
def test_null_leaves_the_optimisers_own(key: str, hydra: None) -> None:
    trial.check_optimizer(compose("config", overrides=["pretext=byol", f"pretext.optimizer.{key}=null"]))


class TestControl:
    COLOURED = (
        "simclr", "npid", "pirl", "moco", "densecl", "swav", "byol", "simsiam", "barlow_twins", "vicreg",
        "lejepa", "dino",
    )  # fmt: skip

    @pytest.mark.parametrize("name", COLOURED)
    def test_it_changes_what_is_seen_and_nothing_else(
        self, name: str, asked: Callable[..., DictConfig], hydra: None
    ) -> None:
        line = ["suite=tiny64", f"pretext={name}"]
        control, usual = asked("rgb_control", *line), compose("config", overrides=line)
        assert (control.input, usual.input) == ("rgb", "lightness")
        for key in ("backbone", "data", "trainer", "suite", "seed"):
            assert control[key] == usual[key], key
        assert control.pretext.task == usual.pretext.task
        assert control.pretext.optimizer == usual.pretext.optimizer

    def test_it_sweeps_over_the_tasks_that_change_colours(self) -> None:
        stated = OmegaConf.load(CONF / "experiment" / "rgb_control.yaml")
        assert tuple(stated.hydra.sweeper.params.pretext.split(",")) == self.COLOURED


def test_null_takes_away_what_the_yaml_gives_to_another_optimiser(hydra: None) -> None:
    line = ["pretext=byol", "pretext.optimizer._target_=torch.optim.SGD"]
    named = [
        compose("config", [*line, more])
        for more in ("pretext.optimizer.betas=null", "~pretext.optimizer.betas")
    ]
    addresses = set()
    for cfg in named:
        targets.check(cfg)
        addresses.add(runs.one(cfg, cfg.pretext, recipes.stand_in(), "fp32").digest)
    assert len(addresses) == 1
    with pytest.raises(ValueError, match=r"no key pretext\.optimizer\.betas"):
        targets.check(compose("config", line))
