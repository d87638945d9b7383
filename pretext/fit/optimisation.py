"""How the weights of a pretext task are moved: the optimiser and its schedule."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from pretext.identity import identity

OptimizerFactory = Callable[[list[dict[str, Any]]], Optimizer]
"""Takes parameter groups, for example `functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.05)`."""


@dataclass(frozen=True)
class Optimisation:
    """An optimiser with linear warm-up, then a cosine to `floor` (arXiv:1608.03983) or drops, by step.

    Attributes:
        version: raised when a change of code or of a default changes what an optimisation does; 2 averages a
            last step of few batches over these alone.
        optimizer: makes the optimiser of the task's parameter groups; its learning rates are the peaks.
        warmup: share of all steps that the learning rate rises linearly, in [0, 1).
        floor: learning rate at the end, as a share of the peak; 1 leaves it constant after the warm-up.
        clip: largest norm of all gradients together, or None for no clipping.
        accumulate: batches whose gradients are averaged into one step.
        drops: (share of all steps, factor): from there on the learning rate is that share of the peak. Where
            there are any, they stand in for the cosine and `floor`.
        decay_end: weight decay at the end as a multiple of the optimiser's own, by a cosine from 1 over all
            steps (arXiv:2104.14294: 10, from .04 to .4). Groups without decay stay without.

    Raises:
        ValueError: a value out of its range.
    """

    version: ClassVar[int] = 2

    optimizer: OptimizerFactory
    warmup: float = 0.05
    floor: float = 0.0
    clip: float | None = None
    accumulate: int = 1
    drops: tuple[tuple[float, float], ...] = ()
    decay_end: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f"Optimisation.warmup is a share of the steps in [0, 1), got {self.warmup}")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"Optimisation.floor is a share of the peak in [0, 1], got {self.floor}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"Optimisation.clip is a positive norm or None, got {self.clip}")
        if not self.decay_end >= 0:
            raise ValueError(f"Optimisation.decay_end is a multiple from 0, got {self.decay_end}")
        if self.accumulate < 1:
            raise ValueError(f"Optimisation.accumulate is a number of batches from 1, got {self.accumulate}")
        places = [share for share, _ in self.drops]
        if sorted(set(places)) != places or not all(0 < share < 1 for share in places):
            raise ValueError(f"Optimisation.drops lie at rising shares of the steps in (0, 1), got {places}")
        if not all(factor > 0 for _, factor in self.drops):
            raise ValueError(f"Optimisation.drops have positive factors, got {[f for _, f in self.drops]}")

    def schedule(self, optimizer: Optimizer, total: int) -> LambdaLR:
        """Return the schedule over `total` optimiser steps.

        Parameter groups that say `constant_lr` stay at their peak.
        """
        moving = functools.partial(self.share, total=total)
        constant = [bool(group.get("constant_lr")) for group in optimizer.param_groups]
        return LambdaLR(optimizer, [_peak if still else moving for still in constant])

    def share(self, step: int, total: int) -> float:
        """Share of the peak learning rate at `step` (from 0) of `total`.

        The last step of the warm-up is at the peak; the cosine would reach `floor` one step after the last.
        """
        rising = math.ceil(self.warmup * total)
        if step < rising:
            return (step + 1) / rising
        if self.drops:
            # Rounded: 0.45 of 500,000 is step 225,000, not the one after.
            return next((f for share, f in reversed(self.drops) if step >= round(share * total)), 1.0)
        done = min(1.0, (step - rising) / max(1, total - rising))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2

    def decay(self, step: int, total: int) -> float:
        """Multiple of the optimiser's weight decay at `step` (from 0) of `total`."""
        return self.decay_end + (1 - self.decay_end) * (1 + math.cos(math.pi * step / total)) / 2

    def describe(self) -> dict[str, Any]:
        """What tells two optimisations apart, as plain values; written beside the result."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return identity(type(self), own | {"optimizer": _describe(self.optimizer)})


def _peak(step: int) -> float:
    return 1.0


def _describe(factory: OptimizerFactory) -> str:
    if isinstance(factory, functools.partial):
        arguments = ", ".join(f"{name}={value!r}" for name, value in sorted(factory.keywords.items()))
        return f"{_describe(factory.func)}({arguments})"
    return str(getattr(factory, "__qualname__", type(factory).__qualname__))
