"""Two processes with half of a batch each are one with all of it, for every task that compares images."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import every
import pytest
import torch
import torch.multiprocessing as mp
import toy
from test_task_contract import drawn, images, prepared
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from two_processes import half, took

from pretext.data.loader import EpochLoader
from pretext.task import Progress, Task
from pretext.tasks.swav import SwAV


def compares(name: str) -> bool:
    """Whether a task, or what its module takes from others', calls `gather`."""
    module = sys.modules[every.kind(name).__module__]
    taken = {getattr(value, "__module__", "") for value in vars(module).values()}
    near = {module.__name__, *(each for each in taken if str(each).startswith("pretext.tasks."))}
    return any("from pretext.gather import" in inspect.getsource(sys.modules[each]) for each in near)


GATHERING = [name for name in every.TRAINED if compares(name)]
assert len(GATHERING) > 8
OWN_NORM = {"barlow_twins": ("norm",)}
"""BatchNorm that belongs to a loss and sees the whole batch; of the networks' own each process has one."""


def whole(name: str, folder: Path) -> tuple[Task, Any]:
    """A task before its first step, and views of a batch of eight."""
    torch.manual_seed(0)
    task = prepared(name, folder)
    if isinstance(task, SwAV):  # the queue joins in once it is full, from its epoch on
        task.before_epoch(EpochLoader(toy.split(24, 5), 8, shuffle=False), Progress(0, 1, 15.0))
        task.queue.copy_(F.normalize(torch.randn_like(task.queue), dim=2))
        task.filled.fill_(task.queue.shape[1])
    batch = task.views(images(task), drawn())
    for path, module in task.named_modules():
        if isinstance(module, _BatchNorm | nn.Dropout) and path not in OWN_NORM.get(name, ()):
            module.eval()
    return task, batch


@pytest.mark.slow
def test_two_processes_are_one_on_the_whole_batch(tmp_path: Path) -> None:
    for name in GATHERING:
        torch.save(whole(name, tmp_path), tmp_path / f"{name}.pt")
    mp.spawn(half, (GATHERING, tmp_path), nprocs=2)  # type: ignore[attr-defined]
    for name in GATHERING:
        expected = took(*torch.load(tmp_path / f"{name}.pt", weights_only=False))
        halves = [torch.load(tmp_path / f"{name}.{turn}.pt") for turn in range(2)]
        assert not torch.equal(halves[0]["alone"], halves[1]["alone"]), name
        for found in halves:
            for key, value in expected.items():
                if key != "alone":
                    torch.testing.assert_close(
                        found[key], value, rtol=1e-4, atol=3e-5, msg=lambda m, k=key, n=name: f"{n}, {k}: {m}"
                    )
