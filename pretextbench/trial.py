"""What a configuration names is built once before anything is computed: ranges are its classes' affair."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from pretext.backbones import Backbone
from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader, batches
from pretext.encoder import Encoder
from pretext.fit.optimisation import Optimisation
from pretext.task import Images, Task, checked
from pretextbench import runs
from pretextbench.runs import Run
from pretextbench.targets import TARGET, given

FEW = 2
"""Images that views are tried on."""


def check_budget(cfg: DictConfig) -> None:
    """Refuse training for a task that has no optimiser, and the other way round.

    Raises:
        ValueError: epochs for a task of zero images, or for one that names no optimiser; none for another.
    """
    epochs = cfg.trainer.epochs if cfg.pretext.epochs is None else cfg.pretext.epochs
    named, trained = cfg.pretext.name, TARGET in cfg.pretext.optimizer
    if epochs and not trained:
        raise ValueError(
            f"pretext={named} names no optimizer and cannot be trained for {epochs} epochs; "
            "a task of zero images has pretext.epochs=0"
        )
    if trained and not epochs:
        key = "trainer.epochs" if cfg.pretext.epochs is None else "pretext.epochs"
        raise ValueError(
            f"pretext={named} is not trained by {key}=0; the untrained network is pretext=random"
        )
    if cfg.pretext.epoch_batches is not None and not epochs:
        raise ValueError(f"pretext={named} takes no step, and pretext.epoch_batches counts steps of an epoch")


def check_epoch(budget: Mapping[str, Any], train: Split) -> None:
    """Refuse an epoch of more batches than there are.

    Args:
        budget: of a run's spec.

    Raises:
        ValueError: the epoch is longer.
    """
    asked, whole = budget["epoch_batches"], len(train) // budget["batch_size"]
    if budget["epochs"] and asked and asked > whole:
        raise ValueError(
            f"epoch_batches={asked} of {budget['batch_size']} images is more than the {whole} that the "
            f"{len(train)} images of {train.name} make; null is all of them"
        )


def check_optimizer(cfg: DictConfig) -> None:
    """Refuse an optimiser's settings that its class does, before any data are read.

    Raises:
        ValueError: a rate below 0, or whatever else the class says of its arguments.
    """
    node = given(runs.plain(cfg.pretext.optimizer))
    if TARGET not in node:
        return
    try:
        runs.optimizer_of(node)([nn.Parameter(torch.zeros(1, 1))])
    except (TypeError, ValueError) as error:
        raise ValueError(f"pretext.optimizer of {cfg.pretext.name}: {error}") from error


@contextmanager
def named(run: Run) -> Iterator[None]:
    """Say of which run an error speaks, and leave torch's random state as it was."""
    state = torch.get_rng_state()
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"{run.name}: {error}") from error
    finally:
        torch.set_rng_state(state)


def built(run: Run) -> tuple[Task, Optimisation | None]:
    """Build the task and the optimisation of a run, and let the optimiser take a step on parameters of zero.

    Raises:
        ValueError: what their classes refuse; an optimiser that cannot move the task.
    """
    task = runs.build_task(run)
    epochs = run.spec["budget"]["epochs"]
    if task.untrained and epochs:
        raise ValueError(f"{type(task).__name__} takes no training, and its budget is {epochs} epochs")
    optimisation = runs.build_optimisation(run)
    if optimisation is not None:
        _step(optimisation, task)
    return task, optimisation


def prepare(task: Task, train: Split, count: int, device: torch.device) -> None:
    """Prepare a task for a trial on so many images, on noise of their size: real ones may all be gray."""
    noise = np.random.default_rng(0).integers(0, 256, (count, *train.pixels.shape[1:]), np.uint8)
    labels = None if train.labels is None else train.labels[:count]
    split = Split("noise", noise, f"noise-{count}", labels)
    loader = EpochLoader(split, count, shuffle=False, drop_last=False, device=device)
    with tempfile.TemporaryDirectory() as cache:
        task.prepare(loader, Path(cache))


def see(encoder: Encoder, train: Split) -> None:
    """Let an encoder see two images.

    Raises:
        ValueError: images that its network is too large for.
    """
    pixels = _few(train).pixels
    with _seen(encoder, f"{type(encoder.backbone).__name__} cannot see images", pixels):
        encoder(pixels)


def show(task: Task, train: Split) -> None:
    """Let a task make its views of two images, and its network see them.

    Raises:
        ValueError: images that it cannot work with, views of them that its network is too large for, or a
            loss that breaks the contract.
    """
    prepare(task, train, FEW, torch.device("cpu"))
    few = _few(train)
    batch = task.views(few, torch.Generator().manual_seed(0))
    who = f"{type(task).__name__}: {type(task.encoder.backbone).__name__}"
    with _seen(task, f"{who} cannot see what the task shows it of images", few.pixels):
        checked(task.loss(batch), task)


@contextmanager
def _seen(tried: nn.Module, said: str, pixels: Tensor) -> Iterator[None]:
    """Try a module in eval mode; where it fails in an encoder, that is too large for the images.

    Args:
        said: of images, before their size.

    Raises:
        ValueError: says so. A fault of the task's own is looked for where it is.
    """
    tried.eval()
    try:
        with torch.no_grad():
            yield
    except RuntimeError as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        if not any(isinstance(frame.f_locals.get("self"), Encoder | Backbone) for frame in frames):
            raise
        size = " × ".join(map(str, pixels.shape[2:]))
        raise ValueError(f"{said} of {size}: {str(error).splitlines()[0]}") from error
    finally:
        tried.train()


def _step(optimisation: Optimisation, task: Task) -> None:
    """One step on parameters of one entry, in the groups and of the dimensions that the task's have."""
    groups: list[dict[str, Any]] = []
    for group in task.param_groups():
        shapes = dict.fromkeys((1,) * parameter.dim() for parameter in group["params"])
        groups.append({**group, "params": [nn.Parameter(torch.zeros(shape)) for shape in shapes]})
    optimizer = optimisation.optimizer(groups)
    for group in groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    try:
        optimizer.step()
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{type(optimizer).__name__} cannot take a plain step: {error}") from error


def _few(train: Split) -> Images:
    pixels = next(iter(batches(train, FEW)))
    if train.labels is None:
        return Images(pixels, torch.arange(len(pixels)), None)
    labels = torch.from_numpy(train.labels[: len(pixels)].copy())
    return Images(pixels, torch.arange(len(pixels)), labels.float() if labels.dim() == 2 else labels.long())
