"""A pretraining run on toy images, and what interrupts one."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from pretext.fit import Optimisation, Pretrained, Validation, pretrain
from pretext.task import Task
from pretext.tasks.autoencoder import Autoencoder

ADAMW = Optimisation(functools.partial(torch.optim.AdamW, lr=3e-3), clip=1.0)


def fit(folder: Path, task: Task, epochs: int = 2, **changes: Any) -> Pretrained:
    """A run on 40 toy images (5 batches an epoch) with little validation."""
    settings = {
        "cache": folder.parent / "cache",
        "name": "toy",
        "seed": 0,
        "batch_size": 8,
        "optimisation": ADAMW,
        "device": "cpu",
        "validation": Validation(bank=0, pictures=2),
        "console": Console(file=io.StringIO()),
    }
    train, val = toy.split(40, 0), toy.split(8, 1, "val")
    return pretrain(task, train, val, folder=folder, epochs=epochs, **{**settings, **changes})


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


class At(Callback):
    """Does something at the start of one batch."""

    def __init__(self, epoch: int, batch: int, act: Callable[[], None]) -> None:
        self._place, self._act = (epoch, batch), act

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == self._place:
            self._act()


def die() -> None:
    raise KeyError("pulled the plug")


def goes_on_to_the_bit(build: Callable[[], Task], folder: Path) -> None:
    """Hold a task that is killed within its second epoch and goes on to one that was not."""
    whole, again = build(), build()
    fit(folder / "whole", whole)
    with pytest.raises(KeyError):
        fit(folder / "broken", build(), callbacks=[At(1, 2, die)])
    torch.manual_seed(5)
    fit(folder / "broken", again)
    assert history(folder / "whole") == history(folder / "broken")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def denoising() -> Task:
    """Draws in its views, and has statistics, buffers and BatchNorm to carry over a stop."""
    return Autoencoder(toy.encoder(), drop=0.3, hidden=16)


ACCUMULATING = Optimisation(functools.partial(torch.optim.AdamW, lr=3e-3), warmup=0.3, clip=1.0, accumulate=2)
