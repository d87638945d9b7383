"""What a task's step is held against: as many images through the same networks, the same optimiser."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, cast

import every
import pytest
import torch
import toy
from hydra import compose
from hydra.utils import get_class
from torch import Tensor, nn

from benchmarks import measured, steps
from pretext.backbones import Backbone, MapBackbone, ResNet18, SmallNet, Stage
from pretext.fit import Optimisation
from pretext.task import Task

SGD = Optimisation(partial(torch.optim.SGD, lr=0.1, momentum=0.9))
BATCH = 8


def watched(name: str) -> tuple[Task, steps.Passes]:
    """A task, and the passes of one step of it on 8 images."""
    task, passes = every.build(name).train(), steps.Passes()
    with passes.watching(task):
        steps.stepping(task, SGD, toy.batch(BATCH))()
    return task, passes


def first(task: Task, passes: steps.Passes) -> list[steps.Pass]:
    """Those through first blocks, which every image takes once a view."""
    networks = [module for module in task.modules() if isinstance(module, Backbone)]
    blocks = {next(iter(network.blocks.values())) for network in networks}
    return [made for made in passes.made if made.layer in blocks]


@pytest.mark.parametrize(
    ("name", "with_gradient", "without"),
    [("simclr", 2, 0), ("byol", 2, 2), ("moco", 1, 1), ("rotation", 4, 0), ("autoencoder", 1, 0)],
)
def test_the_bare_step_passes_as_many_views_with_a_gradient_where_the_task_has_one(
    name: str, with_gradient: int, without: int
) -> None:
    task, passes = watched(name)
    seen = {True: 0, False: 0}
    for made in first(task, passes):
        seen[made.gradient is not None] += len(made.given[0])
    assert seen == {True: with_gradient * BATCH, False: without * BATCH}
    assert all(made.given[0].shape[-2:] == (32, 32) for made in first(task, passes))


class Holding(nn.Module):
    """A block that passes images through the blocks of a network of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = SmallNet(3, widths=[4, 4, 4, 4, 4])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.inner.blocks.values():
            x = block(x)
        return x


def test_a_network_within_a_network_is_passed_once() -> None:
    outer = MapBackbone(3, [Stage("all", 4, 8)], [Holding()], {})
    passes = steps.Passes()
    with passes.watching(cast("Task", nn.Sequential(outer))):
        outer(torch.rand(2, 3, 32, 32))
    assert [type(made.layer) for made in passes.made] == [Holding]


@pytest.mark.parametrize("name", ["simclr", "byol"])
def test_the_bare_step_moves_the_same_networks_by_the_same_optimiser_and_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, passes = watched(name)
    made: list[torch.optim.Optimizer] = []

    def factory(groups: Any) -> torch.optim.Optimizer:
        made.append(torch.optim.SGD(groups, lr=0.1, momentum=0.9))
        return made[-1]

    bare = steps.alone(passes, Optimisation(factory))
    before = {key: value.clone() for key, value in task.named_parameters()}
    bare()
    (optimizer,) = made
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert own == {id(p) for p in task.encoder.backbone.parameters()}
    moved = {key for key, value in task.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {f"encoder.backbone.{key}" for key, _ in task.encoder.backbone.named_parameters()}


def test_what_a_step_adds_in_multiply_adds_is_its_head() -> None:
    """Rotation: a linear layer on 8 channels for 4 · 8 images, forward and two ways back."""
    task, passes = watched("rotation")
    step, bare = steps.stepping(task, SGD, toy.batch(BATCH)), steps.alone(passes, SGD)
    assert steps.flops(step) - steps.flops(bare) == 3 * 2 * (4 * BATCH) * 8 * 4


KINDS = {every.kind(name).takes: name for name in every.TRAINED if name not in every.OPTIONS}
"""A task of each kind of network."""


@pytest.mark.parametrize("takes", KINDS, ids=lambda takes: str(takes.__name__))
def test_every_task_has_a_network_to_be_measured_on(takes: type[Backbone], hydra: None) -> None:
    (_, chosen) = steps.on_a_network(KINDS[takes], "resnet18")
    assert (chosen == "backbone=resnet18") == issubclass(ResNet18, takes)
    assert issubclass(get_class(compose("config", [chosen]).backbone["_target_"]), takes)


def test_reasons_are_of_tasks_that_there_are_and_said_once() -> None:
    named = [name for names in steps.REASONS.values() for name in names]
    assert len(set(named)) == len(named)
    assert set(named) <= set(every.NAMES)


@pytest.mark.skipif(not steps.FILE.is_file(), reason="nothing was measured yet")
def test_every_task_above_the_limit_has_a_reason() -> None:
    found = json.loads(steps.FILE.read_text())
    assert steps.unexplained(found["tasks"]) == []


def test_the_table_names_the_median_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: dict[str, Any] = {
        "network": "SmallNet",
        "images": 16,
        "step s": 0.2,
        "bare s": 0.1,
        "views / bare": 0.04,
        "multiply-adds / bare": 1.5,
    }
    tasks = {
        "rotation": figures | {"step / bare": 1.01},
        "mae": figures | {"step / bare": 2.0},
        "simclr": figures | {"step / bare": 1.3},
    }
    found = {"limit": 1.08, "machine": {"processor": "x", "threads": 1}, "tasks": tasks}
    monkeypatch.setattr(measured, "_measured", lambda name: {"steps": found}[name])
    text = measured.steps()
    assert "median 1.30" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert rows == [
        ["task", "network", "images", "step / bare", "views / bare", "multiply-adds / bare"],
        ["**mae**", "SmallNet", "16", "2.00", "0.04", "1.50"],
        ["**simclr**", "SmallNet", "16", "1.30", "0.04", "1.50"],
        ["rotation", "SmallNet", "16", "1.01", "0.04", "1.50"],
    ]
    why = {name: reason for reason, names in steps.REASONS.items() for name in names}
    for name in ("mae", "simclr"):
        assert f"- {why[name]}: {name}" in text
    assert "unexplained" not in text
    tasks["no_such"] = figures | {"step / bare": 3.0}
    assert "- unexplained: no_such" in measured.steps()
