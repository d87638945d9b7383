"""How a training went, as far as it tells whether it was long enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PARTS = 8
"""Equal parts of the way that losses are averaged over."""

HARDLY = 0.01
"""Share of the first loss: where the whole fall is less, its shape is noise."""


@dataclass(frozen=True)
class Course:
    """The loss on train along the way of a training.

    The way of a step is its learning rate: under a schedule that ends at zero the last quarter of the steps
    moves nothing, and every loss looks settled.

    Attributes:
        steps: of the optimiser.
        first: loss of the first step, before anything moved.
        parts: mean loss of each eighth of the way.
    """

    steps: int
    first: float
    parts: tuple[float, ...]

    @staticmethod
    def of(losses: Sequence[float], rates: Sequence[float]) -> Course:
        """Sum up a training by the loss and the learning rate, in any unit, of each step.

        Raises:
            ValueError: no step, or not as many rates as losses.
        """
        if len(losses) == 0 or len(losses) != len(rates):
            raise ValueError(f"a course needs steps: got {len(losses)} losses and {len(rates)} rates")
        way = np.cumsum(rates) - np.asarray(rates) / 2
        way = way / np.sum(rates)
        part = np.minimum((PARTS * way).astype(np.int64), PARTS - 1)
        count = np.bincount(part, minlength=PARTS)
        mean = np.bincount(part, np.asarray(losses, np.float64), PARTS) / np.maximum(count, 1)
        there = np.flatnonzero(count)
        whole = np.interp(np.arange(PARTS), there, mean[there])  # few steps do not reach every part
        return Course(len(losses), float(losses[0]), tuple(float(value) for value in whole))

    @property
    def late(self) -> float:
        """Share of the whole fall of the loss that came behind the middle of the way.

        About a half where the loss fell evenly, and so has not settled; a tenth or less where it has. 0 where
        it hardly changed.
        """
        middle = (self.parts[PARTS // 2 - 1] + self.parts[PARTS // 2]) / 2
        whole, late = self.first - self.parts[-1], middle - self.parts[-1]
        if max(abs(whole), abs(late)) <= HARDLY * abs(self.first):
            return 0.0
        return late / whole if whole > 0 else float(late > 0)
