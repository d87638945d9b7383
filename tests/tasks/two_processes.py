"""What each of two processes does with its half of a batch; imported by them, and light for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pretext.task import Task

BATCH = 8


def part(value: Any, turn: int) -> Any:
    """A process's half of whatever a batch is made of: along the first dimension that has all images."""
    if isinstance(value, Tensor):
        at = next((d for d, size in enumerate(value.shape) if size in (BATCH, 2 * BATCH)), None)
        return (
            value
            if at is None
            else value.unflatten(at, (-1, BATCH)).narrow(at + 1, 4 * turn, 4).flatten(at, at + 1)
        )
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        halves = type(value)(*(part(each, turn) for each in value))
        # An order in which images are passed: any will do, where BatchNorm looks at none of them.
        return halves._replace(order=torch.arange(BATCH // 2)) if hasattr(value, "order") else halves
    if isinstance(value, list | tuple):
        return type(value)(part(each, turn) for each in value)
    return value


def took(task: Task, batch: Any) -> dict[str, Tensor]:
    """Loss, gradients and buffers after one step's loss."""
    loss = task.loss(batch).loss
    loss.backward()
    grads = {f"grad {n}": p.grad for n, p in task.named_parameters() if p.grad is not None}
    buffers = {f"buffer {n}": b.clone() for n, b in task.named_buffers()}
    return {"alone": next(iter(grads.values())).clone(), "loss": loss.detach(), **grads, **buffers}


def half(turn: int, names: list[str], folder: Path) -> None:
    """What one of two processes does, task after task."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=turn, world_size=2)
    for name in names:
        task, batch = torch.load(folder / f"{name}.pt", weights_only=False)
        found = took(task, part(batch, turn))
        for key, value in found.items():
            if key == "loss" or key.startswith("grad"):
                dist.all_reduce(value)
                value /= 2
        torch.save(found, folder / f"{name}.{turn}.pt")
    dist.destroy_process_group()
