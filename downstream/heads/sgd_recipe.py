"""Budget and learning rates of linear heads trained by SGD, in the terms in which papers state them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class SgdRecipe:
    """SGD with momentum on the mean loss, from weights of a normal distribution and biases of zero.

    Args:
        lrs: learning rates, each a head of its own.
        epochs: the budget in passes over the training images, or
        iterations: in steps; one of the two.
        share: part of the budget that is spent; milestones move with it.
        least_steps: where the epochs spent make fewer steps, so many are made, and milestones move with them;
            0: the epochs alone, as where a paper states them.
        milestones: where the rate is divided by ten, in the budget's unit; without any, a cosine leads it to
            zero, step by step.
        batch_size: images a step; the batches of an epoch differ by one at most.
        base_batch: the batch that `lrs` are for: they are scaled in proportion; None: they are as they are.
        momentum, nesterov: of SGD.
        weight_decay: λ of λ/2 · ‖W‖². decay_bias: whether biases are decayed like weights.
        bias_lr: factor on the rate of biases.
        normalise: BatchNorm without affine part before each head, by channel; what it applies in the end are
            the averages over all batches, since features of a frozen encoder do not drift.
        init_std: standard deviation of the first weights, the same for every rate.

    Raises:
        ValueError: a value out of range, not one of `epochs` and `iterations`, or `least_steps` beside the
            latter.
    """

    lrs: tuple[float, ...]
    epochs: int | None = None
    iterations: int | None = None
    share: float = 1.0
    least_steps: int = 0
    milestones: tuple[int, ...] = ()
    batch_size: int = 256
    base_batch: int | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_bias: bool = True
    bias_lr: float = 1.0
    normalise: bool = False
    init_std: float = 0.01

    def __post_init__(self) -> None:
        # Lists and integers come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        object.__setattr__(self, "milestones", tuple(int(at) for at in self.milestones))
        if (self.epochs is None) is (self.iterations is None):
            raise ValueError(
                f"SgdRecipe: give either epochs or iterations, got {self.epochs} and {self.iterations}"
            )
        budget = self.budget
        ranges = {
            "lrs": len(self.lrs) > 0 and min(self.lrs) > 0,
            "epochs" if self.epochs is not None else "iterations": budget >= 1,
            "share": 0 < self.share <= 1,
            "least_steps": self.least_steps >= 0 and (self.least_steps == 0 or self.iterations is None),
            "milestones": all(a < b for a, b in pairwise((0, *self.milestones, budget))),
            "batch_size": self.batch_size >= 1,
            "base_batch": self.base_batch is None or self.base_batch >= 1,
            "momentum": 0 <= self.momentum < 1,
            "nesterov": not self.nesterov or self.momentum > 0,
            "weight_decay": self.weight_decay >= 0,
            "bias_lr": self.bias_lr >= 0,
            "init_std": self.init_std >= 0,
        }
        for name, good in ranges.items():
            if not good:
                raise ValueError(f"SgdRecipe: {name}={getattr(self, name)!r} is out of range")

    @property
    def budget(self) -> int:
        """The whole budget, in its unit."""
        return self.epochs if self.epochs is not None else self.iterations or 0

    @property
    def length(self) -> str:
        """What is spent of the budget, in words; "3+" where few examples get more."""
        spent = self.share * self.budget
        unit = "step" if self.epochs is None else "epoch"
        more = "+" if self.least_steps else ""
        return f"{spent:g}{more} {unit}{'' if spent == 1 else 's'}"

    def steps_an_epoch(self, examples: int) -> int:
        """Steps in which all training images are seen once."""
        return math.ceil(examples / self.batch_size)

    def steps(self, examples: int) -> int:
        """Steps in all."""
        return max(1, round(self.budget * self._unit(examples)))

    def rate(self, step: int, examples: int) -> float:
        """Factor on the learning rates in a step, the first being 0."""
        if not self.milestones:
            return 0.5 * (1 + math.cos(math.pi * step / self.steps(examples)))
        unit = self._unit(examples)
        return 0.1 ** sum(step >= round(unit * at) for at in self.milestones)

    def scaled_lrs(self, examples: int) -> list[float]:
        """Peak learning rates for the batches that are drawn."""
        batch = min(self.batch_size, examples)
        return [lr * (batch / self.base_batch if self.base_batch else 1.0) for lr in self.lrs]

    def _unit(self, examples: int) -> float:
        """Steps that are made for one of the budget's."""
        if self.epochs is None:
            return self.share
        return max(self.share * self.steps_an_epoch(examples), self.least_steps / self.epochs)
