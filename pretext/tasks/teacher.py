"""Teachers: networks that follow others as a moving average of their weights (arXiv:1703.01780)."""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from pretext.task import Progress

Network = TypeVar("Network", bound=nn.Module)


def teacher_of(student: Network) -> Network:
    """Return a copy that no gradient trains."""
    return copy.deepcopy(student).requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's parameters to `momentum` of themselves and the rest of the student's.

    Its buffers are its own: BatchNorm's averages are of what it saw itself.
    """
    own: list[Tensor] = list(teacher.parameters())
    torch._foreach_lerp_(own, list[Tensor](student.parameters()), 1 - momentum)


def momentum(start: float, progress: Progress, last: float = 1.0) -> float:
    """Momentum behind a step: a cosine from `start` to `last` over all of them (arXiv:2006.07733)."""
    return last - (last - start) * (1 + math.cos(math.pi * progress.step / progress.total)) / 2
