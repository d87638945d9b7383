"""A network that runs as a whole: all of its stages come of one pass from the images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from pretext.backbones.base import Backbone, Features, Stage


class Undivided(Backbone, ABC):
    """A network without blocks in a row: a pass cannot begin in the middle, stages cannot be frozen alone.

    Args:
        in_channels, stages, arguments: as in `Backbone`.
    """

    def __init__(self, in_channels: int, stages: Iterable[Stage], arguments: dict[str, object]) -> None:
        stages = tuple(stages)
        super().__init__(in_channels, stages, [NoBlock() for _ in stages], arguments)

    def forward(self, x: Tensor, start: str | None = None, stop: str | None = None) -> Features:
        """Run the network, and return its maps up to `stop`, included; without it, all of them.

        Args:
            x: (B, in_channels, H, W).
            start: None.

        Raises:
            ValueError: an unknown stage, or any `start`.
        """
        if start is not None:
            raise ValueError(f"{self.title} runs as a whole: no pass begins at {start!r}")
        last = len(self.stages) - 1 if stop is None else self._position(stop)
        entrance = self.blocks[self.stage_names[0]]  # run, so that who counts passes at it sees this one
        return self.run(entrance(x), last)

    @abstractmethod
    def run(self, x: Tensor, last: int) -> Features:
        """Run images (B, in_channels, H, W) up to the stage of that position; more need not be left out."""

    @property
    def title(self) -> str:
        """What errors call the network."""
        return type(self).__name__


class NoBlock(nn.Module):
    """Stands for a stage where blocks are asked for: passes on what it is given, and refuses to be frozen."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def requires_grad_(self, requires_grad: bool = True) -> NoBlock:
        """Raise ValueError where the stage is to be frozen."""
        if not requires_grad:
            raise ValueError("a network that runs as a whole has no stages that can be frozen alone")
        return self
