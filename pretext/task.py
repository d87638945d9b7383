"""The contract of a pretext task: what the trainer calls, and nothing of how it trains."""

from __future__ import annotations

import functools
import inspect
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pretext.backbones.base import Backbone
from pretext.encoder import Encoder

WATCHED = ("knn", "linear", "rankme", "spread")
"""What is measured of any encoder's features on val; no measure of a task goes by one of these names."""


class Images(NamedTuple):
    """A batch as it leaves the data set.

    pixels: (B, 3, H, W) float32 in [0, 1]; positions: (B,) int64, in the split;
    labels: (B,) int64 classes, (B, C) float multi-hot, or None where the set has none.
    """

    pixels: Tensor
    positions: Tensor
    labels: Tensor | None


class Step(NamedTuple):
    """A scalar loss to minimise and the detached scalars to log beside it.

    weight: () what loss and logs are means over, by which an epoch's mean counts the batch (coloured images,
    where gray ones are left out); the number of images without it. weights: the same of single logs.
    """

    loss: Tensor
    logs: dict[str, Tensor]
    weight: Tensor | None = None
    weights: Mapping[str, Tensor] = MappingProxyType({})

    def counts(self, log: str, images: int) -> Tensor | int:
        """What a log of a batch of so many images is a mean over."""
        return self.weights.get(log, images if self.weight is None else self.weight)


def checked(step: object, task: Task) -> Step:
    """What the `loss` of a task returned, held to the contract.

    Raises:
        ValueError: no `Step`, a loss or a log that is no scalar, a log that goes by one of `WATCHED`, a loss
            without gradient where it needs one.
    """
    where = f"{type(task).__name__}.loss"
    if not isinstance(step, Step):
        raise ValueError(f"{where} returns a pretext.task.Step(loss, logs), not {type(step).__name__}")
    for name, value in {"loss": step.loss, **step.logs}.items():
        if not isinstance(value, Tensor) or value.dim():
            what = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{where}: {name} is a scalar tensor; it is {what}")
    refuse_watched(step.logs, where)
    if torch.is_grad_enabled() and not step.loss.requires_grad:
        raise ValueError(f"{where}: the loss has no gradient: nothing that is trained went into it")
    return step


def refuse_watched(names: Iterable[str], where: str) -> None:
    """Raise ValueError for a measure of a task that goes by a name of `WATCHED`."""
    if taken := sorted(set(names) & set(WATCHED)):
        raise ValueError(
            f"{where}: {', '.join(taken)} is what is measured of the encoder's features; "
            f"what the task measures goes by other names than {', '.join(WATCHED)}"
        )


class Progress(NamedTuple):
    """Where training stands: optimiser steps done, and of how many; epochs done, a fraction within one."""

    step: int
    total: int
    epoch: float


class Epoch(NamedTuple):
    """What a task asks of an epoch.

    weights: (N,) each ≥ 0, by which the epoch draws images, with replacement; None for each image once.
    reset: parameters that were drawn anew, whose state in the optimiser is dropped.
    """

    weights: Tensor | None = None
    reset: tuple[nn.Parameter, ...] = ()


class Loader(typing.Protocol):
    """Batches of one split in a fixed order, without augmentation; can be iterated again."""

    digest: str

    @property
    def images(self) -> int:
        """How many images there are in all batches."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Images]: ...

    def evenly_spaced(self, images: int) -> Loader:
        """Batches of at most so many of the images, evenly spaced over the split."""
        ...


class Task(nn.Module, ABC):
    """One pretext task. A concrete task is final: it implements `views` and `loss`, and what else it needs.

    Attributes:
        version: raised when a change of code or of a default changes what the task computes; under the digest
            of its runs.
        encoder: the product.
        arguments: the constructor's arguments beside the encoder, defaults included; plain values, so that a
            saved task can be rebuilt. A constructor that sets them itself (what is inside of them has
            defaults too) is left alone.
        takes: what the encoder's backbone must be; checked before anything is built.
        transient: names of buffers that belong to the run (a bank, a queue): in its checkpoint, not in the
            saved task, which is rebuilt without them.
        needs_labels: whether `Images.labels` must be there (supervised); checked before training.
        needs_color: whether a data set without colour must be refused.
        least_batch: images that a step needs: 2 where images are compared, or normalised, with each other.
        untrained: whether the task takes no step (`random`); its budget must be zero, `loss` is never called.
        trained_on: name of the images that `prepare`'s weights come trained on, by others; such weights keep
            their BatchNorm statistics, and records name these images.
    """

    version: int = 1
    encoder: Encoder
    arguments: dict[str, object]
    takes: type[Backbone] = Backbone
    transient: tuple[str, ...] = ()
    needs_labels: bool = False
    needs_color: bool = False
    least_batch: int = 1
    untrained: bool = False
    trained_on: str = ""

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        setattr(cls, "__init__", _keeping_arguments(cls))  # noqa: B010  # to mypy a method is no attribute

    def initialise_from(self, parent: Task) -> None:
        """Start from another task's weights, before training: by default from its encoder's.

        Raises:
            ValueError: an encoder of another architecture.
        """
        here, there = self.encoder.architecture, parent.encoder.architecture
        if here != there:
            raise ValueError(
                f"{type(self).__name__} starts from an encoder like its own: here {here}, there {there}"
            )
        self.encoder.load_state_dict(parent.encoder.state_dict())

    def check(self, images: int, batch_size: int) -> None:
        """Refuse a budget, or a network, that the task cannot work with, before anything is prepared.

        Args:
            images: of training. batch_size: as steps take it, no more than there are images.

        Raises:
            ValueError: names the argument that asks for more.
        """

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Fit once, before the first step, what the task takes from the training images.

        State goes into buffers; `cache` is a folder for what depends on `loader.digest` alone. Before a run
        it is tried on a handful of images, fewer than `check` asks for.
        """

    def before_epoch(self, loader: Loader, progress: Progress) -> Epoch:
        """Refit what changes by epoch, on every training image once, in the split's order.

        Called in eval mode, without gradients and with torch's random state set by seed and epoch, so that
        a resumed run does what the uninterrupted one did. `loader.digest` is that of `prepare`.
        """
        return Epoch()

    @abstractmethod
    def views(self, images: Images, generator: torch.Generator) -> Any:
        """Augment on the training device; all randomness from `generator` (a CPU generator).

        In eval mode only what the task itself is made of is drawn (turns, masks, the pair of a contrastive
        task), with the same numbers after every epoch, so that epochs compare on val.
        Returns the batch that `loss` takes: a NamedTuple of tensors.
        """

    @abstractmethod
    def loss(self, batch: Any) -> Step:
        """Return the loss of a batch; no logging, optimiser or device calls.

        In train mode it may move buffers (a queue, a centre); in eval mode it moves nothing.
        """

    def chance(self, batch: Any) -> dict[str, float]:
        """Value of each log at chance level on this batch; empty where the loss has none."""
        return {}

    def blind(self, batch: Any) -> dict[str, float]:
        """Value of each log at the best answer that is the same for all images; empty where `chance` is that.

        A loss that ends at the lower of both has learned nothing of images, and is flagged.
        """
        return {}

    def score(self, batch: Any) -> dict[str, tuple[Tensor, Tensor]]:
        """Validation measures of one batch as (sum, weight): the value over a split is Σ sum / Σ weight."""
        return {}

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser; keys beside `params` override its defaults.

        `constant_lr: True` keeps a group's rate at its peak, whatever the schedule.

        Biases and the scales of normalisation, all of one dimension, are not decayed.
        """
        trainable = [p for p in self.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trainable if p.dim() > 1]},
            {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def before_step(self, progress: Progress) -> None:
        """Change gradients after the backward pass, before they are clipped and the optimiser takes them."""

    def after_step(self, progress: Progress) -> None:
        """Update what follows the optimiser (a moving average)."""

    def show(self, images: Images) -> dict[str, Tensor]:
        """Pictures to look at: name → (N, 3, H, W) in [0, 1]; empty where there is nothing to see."""
        return {}


def _keeping_arguments(kind: type[Task]) -> Callable[..., None]:
    """The constructor of a kind, which keeps the arguments of what it is that it makes."""
    constructor = kind.__init__
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def construct(self: Task, *given: Any, **named: Any) -> None:
        constructor(self, *given, **named)
        if type(self) is kind and "arguments" not in vars(self):
            bound = signature.bind(self, *given, **named)
            bound.apply_defaults()
            _, *rest = bound.arguments.items()
            self.arguments = {name: _plain(value) for name, value in rest if name != "encoder"}

    return construct


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
