"""Pretrainings of a chosen length, read on val alone: what benchmarks of rates and of budgets are made of."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from hydra import compose

from benchmarks.steps import on_a_network
from pretext.data.dataset import DataSet
from pretext.data.loader import EpochLoader
from pretext.encoder import Encoder
from pretext.fit.effort import passes, views
from pretext.fit.monitor import Features, features
from pretext.spacing import evenly_spaced
from pretextbench import runs, trial
from pretextbench.context import Context
from pretextbench.runs import Run

BUDGET = 144_000
"""Views of a row of `suite=tiny64`."""
TAUGHT, NEIGHBOURS = 6000, 20
"""Images that the probes learn from, and neighbours that vote."""


def kept(file: Path) -> list[dict[str, Any]]:
    """The trials in a file, which another run may add to meanwhile; none where there is no such file."""
    return json.loads(file.read_text())["trials"] if file.is_file() else []


def asked(name: str, output: Path, more: list[str]) -> tuple[Context, Run]:
    """A pretraining on the suite's images, on the smallest network that the task takes."""
    line = ["suite=tiny64/cifar10", *on_a_network(name), "trainer.epochs=1", "seed=0", f"output={output}"]
    cfg = compose("config", [*line, "logger.enabled=false", *more])
    context = Context(cfg)
    return context, runs.one(cfg, cfg.pretext, context.data, context.precision)


def length(name: str, output: Path, budget: float) -> list[str]:
    """What is asked for so that a task sees about so many views; nothing of one that takes no step.

    What it passes before its epochs is not counted.
    """
    context, run = asked(name, output, [])
    task, size = runs.build_task(run), int(run.spec["budget"]["batch_size"])
    if task.untrained:
        return []
    trial.prepare(task, context.data.train, size, context.device)
    images = next(iter(EpochLoader(context.data.train, size, shuffle=False)))
    with passes(task) as seen:
        task.loss(task.views(images, torch.Generator().manual_seed(0)))
    batches = max(1, round(budget / views(seen, images.pixels)))
    epochs = math.ceil(batches / (len(context.data.train) // size))
    return [f"pretext.epochs={epochs}", f"trainer.epoch_batches={round(batches / epochs)}"]


def read(encoder: Encoder, data: DataSet) -> tuple[Features, Features]:
    """Features of `TAUGHT` training images, evenly spaced, and of all of val."""
    few = evenly_spaced(len(data.train), TAUGHT)
    taught = EpochLoader(data.train, 250, shuffle=False, drop_last=False, indices=few)
    asked_of = EpochLoader(data.val, 250, shuffle=False, drop_last=False)
    return features(encoder, taught), features(encoder, asked_of)
