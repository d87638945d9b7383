"""What every network of the suite offers: blocks keyed by stage, run in order, any part of them alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """A named point of a network at which features are read.

    `stride` is the number of input pixels between two neighbouring cells of the stage's map.
    """

    name: str
    channels: int
    stride: int


class Features(NamedTuple):
    """Everything a forward pass returns.

    maps: stage name → (B, channels, ~H/stride, ~W/stride), in the network's order.
    vectors: name → (B, D), where the network has any (CLS token); else empty.
    """

    maps: dict[str, Tensor]
    vectors: dict[str, Tensor]


class Backbone(nn.Module):
    """An ordered dictionary of blocks, one a stage.

    Args:
        in_channels: channels of the input map, decided by the encoder's input (1 for lightness).
        stages: the stages in order; names are unique.
        blocks: one module a stage; block i maps stage i−1's map to stage i's.
        arguments: the plain constructor arguments but `in_channels`, so that a saved encoder can be rebuilt.

    Raises:
        ValueError: two stages of one name, or not one block a stage.
    """

    def __init__(
        self,
        in_channels: int,
        stages: Iterable[Stage],
        blocks: Iterable[nn.Module],
        arguments: dict[str, object],
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stages = tuple(stages)
        self.arguments = arguments
        if len(set(self.stage_names)) < len(self.stages):
            raise ValueError(f"{type(self).__name__} names a stage twice: {', '.join(self.stage_names)}")
        self.blocks = nn.ModuleDict({s.name: b for s, b in zip(self.stages, blocks, strict=True)})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages in order."""
        return tuple(stage.name for stage in self.stages)

    def stage(self, name: str) -> Stage:
        """Return the stage of that name.

        Raises:
            ValueError: no such stage; the message lists the stages.
        """
        return self.stages[self._position(name)]

    def _position(self, name: str) -> int:
        if name not in self.stage_names:
            listed = ", ".join(self.stage_names)
            raise ValueError(f"{type(self).__name__} has no stage {name!r}; its stages are: {listed}")
        return self.stage_names.index(name)

    def forward(self, x: Tensor, start: str | None = None, stop: str | None = None) -> Features:
        """Run the blocks from `start` to `stop`, both included; without them, from the first to the last.

        Args:
            x: (B, in_channels, H, W), or with `start` the map that the block `start` takes.

        Raises:
            ValueError: an unknown stage, or `start` behind `stop`.
        """
        first = 0 if start is None else self._position(start)
        last = len(self.stages) - 1 if stop is None else self._position(stop)
        if first > last:
            raise ValueError(f"start={start!r} comes after stop={stop!r} in {', '.join(self.stage_names)}")
        maps: dict[str, Tensor] = {}
        for name in self.stage_names[first : last + 1]:
            x = self.blocks[name](x)
            maps[name] = x  # (B, channels, ~H/stride, ~W/stride)
        return Features(maps, {})
