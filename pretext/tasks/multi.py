"""Several tasks on one trunk (Doersch & Zisserman 2017, arXiv:1708.07860)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.classes import TARGET, class_path, named
from pretext.encoder import Encoder
from pretext.task import Epoch, Images, Loader, Progress, Step, Task

Made = TypeVar("Made")


class Together(NamedTuple):
    """parts: the batch of each task, by the task's name."""

    parts: dict[str, Any]


class Multi(Task):
    """Trains one encoder by the weighted sum of the losses of tasks, each of its own views and head.

    All tasks see each batch of images, through the encoder's one input: the paper's harmonisation, which is
    by gray images there. One that cannot be learned from this input, or by this network, is refused, and one
    whose encoder takes no gradient (the teachers that DINO and I-JEPA keep). What the tasks log, score and
    show goes by their names. Where several weigh the images of an epoch, the product counts.

    Not as published: tasks share their last stage too (no lasso picks units for each), and a step is of one
    batch for all, where there a machine works on each task.

    Args:
        encoder: what is trained.
        tasks: by name, `_target_` and arguments of each but the encoder.
        weights: of their losses, by name; 1 for those that are not named.

    Raises:
        ValueError: no task, one that is not there, has no step, or comes twice; a weight that is not positive
            or of no task; and whatever a task refuses, by its name.
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: Mapping[str, Mapping[str, Any]],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        kinds = {name: _kind(name, node) for name, node in tasks.items()}
        _check_apart(kinds)
        self._weights = _weights(kinds, weights or {})
        self.encoder = encoder
        self.tasks = nn.ModuleDict()
        for name, kind in kinds.items():
            self.tasks[name] = _built(name, kind, encoder, tasks[name])
        self.transient = tuple(f"tasks.{n}.{each}" for n, task in self._each() for each in task.transient)
        self.needs_labels = any(task.needs_labels for _, task in self._each())
        self.least_batch = max(task.least_batch for _, task in self._each())
        self.needs_color = any(task.needs_color for _, task in self._each())
        self.arguments = {
            "tasks": {
                name: {TARGET: class_path(type(task)), **task.arguments} for name, task in self._each()
            },
            "weights": self._weights,
        }

    def initialise_from(self, parent: Task) -> None:
        """Start every task from another's encoder, or as each of them starts."""
        for _, task in self._each():
            task.initialise_from(parent)

    def check(self, images: int, batch_size: int) -> None:
        """Refuse what any of the tasks refuses."""
        for name, task in self._each():
            _said(name, functools.partial(task.check, images, batch_size))

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Prepare each task."""
        for _, task in self._each():
            task.prepare(loader, cache)

    def before_epoch(self, loader: Loader, progress: Progress) -> Epoch:
        """Let each task refit; images are drawn by the product of their weights."""
        asked = [task.before_epoch(loader, progress) for _, task in self._each()]
        weights = [epoch.weights for epoch in asked if epoch.weights is not None]
        product = functools.reduce(torch.mul, weights) if weights else None
        return Epoch(product, tuple(parameter for epoch in asked for parameter in epoch.reset))

    def views(self, images: Images, generator: torch.Generator) -> Together:
        """Make the views of each task, one after the other."""
        parts = {
            name: _said(name, functools.partial(task.views, images, generator)) for name, task in self._each()
        }
        return Together(parts)

    def loss(self, batch: Together) -> Step:
        """Return the weighted sum of the losses; logs that of logged ones, and each task's as `name/log`."""
        steps = {name: task.loss(batch.parts[name]) for name, task in self._each()}
        total = torch.stack([self._weights[name] * step.loss for name, step in steps.items()]).sum()
        logged = {name: {"loss": step.loss.detach(), **step.logs} for name, step in steps.items()}
        whole = torch.stack([self._weights[name] * own["loss"] for name, own in logged.items()]).sum()
        counts = {
            name: {log: steps[name].weights.get(log, steps[name].weight) for log in logged[name]}
            for name in steps
        }
        known = {log: count for log, count in _named(counts).items() if count is not None}
        return Step(total, {"loss": whole, **_named(logged)}, weights=known)

    def chance(self, batch: Together) -> dict[str, float]:
        """Return the chance levels of each task, and their sum where each loss has one."""
        levels = {name: task.chance(batch.parts[name]) for name, task in self._each()}
        if any("loss" not in own for own in levels.values()):
            return _named(levels)
        whole = sum(self._weights[name] * own["loss"] for name, own in levels.items())
        return {"loss": whole, **_named(levels)}

    def blind(self, batch: Together) -> dict[str, float]:
        """Return those levels of each task; their sum, of each the lower, where each loss has one."""
        levels = {name: task.blind(batch.parts[name]) for name, task in self._each()}
        if not any(levels.values()):
            return {}
        losses = {
            name: [own["loss"] for own in (levels[name], task.chance(batch.parts[name])) if "loss" in own]
            for name, task in self._each()
        }
        if not all(losses.values()):
            return _named(levels)
        whole = sum(self._weights[name] * min(own) for name, own in losses.items())
        return {"loss": whole, **_named(levels)}

    def score(self, batch: Together) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the measures of each task."""
        return _named({name: task.score(batch.parts[name]) for name, task in self._each()})

    def param_groups(self) -> list[dict[str, Any]]:
        """The encoder's parameters as by default, those of heads as their tasks group them."""
        trunk = {id(parameter) for parameter in self.encoder.parameters()}
        groups = _of(super().param_groups(), lambda parameter: id(parameter) in trunk)
        for _, task in self._each():
            groups += _of(task.param_groups(), lambda parameter: id(parameter) not in trunk)
        return groups

    def before_step(self, progress: Progress) -> None:
        """Let each task change gradients."""
        for _, task in self._each():
            task.before_step(progress)

    def after_step(self, progress: Progress) -> None:
        """Let each task follow."""
        for _, task in self._each():
            task.after_step(progress)

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return the pictures of each task, as large as the images."""
        shown = _named({name: task.show(images) for name, task in self._each()})
        size = images.pixels.shape[-2:]
        return {name: F.interpolate(picture, tuple(size), mode="nearest") for name, picture in shown.items()}

    def _each(self) -> Iterator[tuple[str, Task]]:
        for name, task in self.tasks.items():
            assert isinstance(task, Task)
            yield name, task


def _kind(name: str, node: Mapping[str, Any]) -> type[Task]:
    if not name.isidentifier() or hasattr(nn.ModuleDict(), name):
        raise ValueError(f"Multi.tasks go by plain names, got {name!r}")
    kind = named(str(node.get(TARGET)), Task, "pretext.tasks")
    if kind is None:
        raise ValueError(f"Multi.tasks.{name}: there is no task {node.get(TARGET)!r}")
    if kind.untrained:
        raise ValueError(f"Multi.tasks.{name}: {kind.__name__} takes no step and has no loss")
    return kind


def _check_apart(kinds: Mapping[str, type[Task]]) -> None:
    if not kinds:
        raise ValueError("Multi.tasks names at least one task, got none")
    for name, kind in kinds.items():
        if twice := [other for other, same in kinds.items() if same is kind and other != name]:
            raise ValueError(f"Multi.tasks are of different kinds; {name} and {twice[0]} are {kind.__name__}")


def _weights(kinds: Mapping[str, type[Task]], given: Mapping[str, float]) -> dict[str, float]:
    if unknown := [name for name in given if name not in kinds]:
        raise ValueError(f"Multi.weights are of {', '.join(kinds)}; {', '.join(unknown)} is none of them")
    weights = {name: given.get(name, 1.0) for name in kinds}
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise ValueError(f"Multi.weights.{name} is positive, got {weight}")
    return weights


def _built(name: str, kind: type[Task], encoder: Encoder, node: Mapping[str, Any]) -> Task:
    if not isinstance(encoder.backbone, kind.takes):
        network = type(encoder.backbone).__name__
        raise ValueError(
            f"Multi.tasks.{name}: {kind.__name__} takes a {kind.takes.__name__}, and {network} is none"
        )
    build: Callable[..., Task] = kind  # each kind takes arguments of its own
    arguments = {key: value for key, value in node.items() if key != TARGET}
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    task = _said(name, functools.partial(build, encoder, **arguments))
    if not all(parameter.requires_grad for parameter in trained):
        raise ValueError(
            f"Multi.tasks.{name}: {kind.__name__} keeps its teacher, which takes no gradient: no other task "
            "would teach the encoder anything"
        )
    return task


def _said(name: str, work: Callable[[], Made]) -> Made:
    """Do something for a task; what it refuses goes by its name."""
    try:
        return work()
    except (ValueError, TypeError) as error:
        raise ValueError(f"Multi.tasks.{name}: {error}") from error


def _named(found: Mapping[str, Mapping[str, Made]]) -> dict[str, Made]:
    return {f"{name}/{key}": value for name, inner in found.items() for key, value in inner.items()}


def _of(groups: list[dict[str, Any]], wanted: Callable[[nn.Parameter], bool]) -> list[dict[str, Any]]:
    """Groups with the wanted parameters alone; those without any are left out."""
    few = [{**group, "params": [p for p in group["params"] if wanted(p)]} for group in groups]
    return [group for group in few if group["params"]]
