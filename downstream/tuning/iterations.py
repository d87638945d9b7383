"""Fine-tuning by so many iterations, as detection and segmentation are published."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from downstream.tuning.finetuning import Tuning


@dataclass(frozen=True, kw_only=True)
class IterationRecipe(Tuning):
    """A budget in iterations, each of exactly `batch_size` examples.

    Examples come in random order, and all of them before one comes again; a batch may span two passes.

    Args:
        iterations: steps of the optimiser.
    """

    iterations: int

    def _ranges(self) -> dict[str, bool]:
        return {"iterations": self.iterations >= 1, **super()._ranges()}

    @property
    def length(self) -> str:
        """The iterations."""
        return f"{self.iterations} {'step' if self.iterations == 1 else 'steps'}"

    def steps(self, examples: int) -> int:
        """As many as there are iterations, whatever the number of examples."""
        return self.iterations

    def batches(self, examples: int, generator: torch.Generator) -> Iterator[Tensor]:
        """One endless order, cut into batches."""
        waiting = torch.zeros(0, dtype=torch.int64)
        for _ in range(self.iterations):
            while len(waiting) < self.batch_size:
                waiting = torch.cat([waiting, torch.randperm(examples, generator=generator)])
            yield waiting[: self.batch_size]
            waiting = waiting[self.batch_size :]


@dataclass(frozen=True, kw_only=True)
class SteppedRecipe(IterationRecipe):
    """A linear warm-up, then a constant learning rate that drops at some iterations.

    Args:
        milestones: iterations from which on the rate is `drop` times what it was.
        drop: factor in (0, 1].
        warmup_iterations: iterations in which the rate rises linearly from `warmup_factor` times itself.
        warmup_factor: in (0, 1].

    Raises:
        ValueError: milestones that do not rise or lie beyond the last iteration: they would never come.
    """

    milestones: tuple[int, ...] = ()
    drop: float = 0.1
    warmup_iterations: int = 0
    warmup_factor: float = 1e-3

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "milestones", tuple(int(step) for step in self.milestones))
        super().__post_init__()

    def _ranges(self) -> dict[str, bool]:
        steps = (0, *self.milestones, self.iterations)
        return {
            **super()._ranges(),
            "milestones": all(a < b for a, b in pairwise(steps)),
            "drop": 0 < self.drop <= 1,
            "warmup_iterations": 0 <= self.warmup_iterations <= self.iterations,
            "warmup_factor": 0 < self.warmup_factor <= 1,
        }

    def factor(self, step: int, steps: int) -> float:
        """The warm-up's share of what the milestones leave."""
        dropped: float = self.drop ** bisect_right(self.milestones, step)
        if step >= self.warmup_iterations:
            return dropped
        risen = step / self.warmup_iterations
        return dropped * (self.warmup_factor * (1 - risen) + risen)


@dataclass(frozen=True, kw_only=True)
class PolynomialRecipe(IterationRecipe):
    """A learning rate that falls to zero as (1 − step / iterations) ^ power (arXiv:1606.00915).

    Args:
        power: 1 for a straight line.
    """

    power: float = 0.9

    def _ranges(self) -> dict[str, bool]:
        return {**super()._ranges(), "power": self.power > 0}

    def factor(self, step: int, steps: int) -> float:
        """Fall from 1 to 0."""
        fallen: float = (1 - step / steps) ** self.power
        return fallen
