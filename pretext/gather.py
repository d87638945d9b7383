"""One batch out of what the processes of a run hold, for losses that compare all its images."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """How many processes train together; 1 where there is no group of them."""
    return dist.get_world_size() if _together() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if _together() else 0


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all processes, by rank; on one process the rows themselves.

    A gradient comes back as the sum over processes, so that the mean over processes of the gradients of each
    one's mean loss is that of the mean over all. Every process must call it, with as many rows as the others.

    Args:
        rows: (n, …).

    Returns: (processes · n, …); this process's begin at rank · n.
    """
    if not _together():
        return rows
    gathered: Tensor = _Gathered.apply(rows)
    return gathered


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(processes())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        start = rank() * ctx.count
        return total[start : start + ctx.count]


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
