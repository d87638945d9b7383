"""What every network of the suite offers: blocks keyed by stage, run in order, any part of them alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn

CLASS_TOKEN = "cls"
"""Name of the vector of a network that has a class token."""


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


class Backbone(nn.Module, ABC):
    """An ordered dictionary of blocks, one a stage: a `MapBackbone`, a `TokenBackbone` or an `Undivided`.

    Args:
        in_channels: channels of the input map, decided by the encoder's input (1 for lightness).
        stages: the stages in order; names are unique.
        blocks: one module a stage.
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

    @abstractmethod
    def forward(self, x: Tensor, start: str | None = None, stop: str | None = None) -> Features:
        """Run from `start` to `stop`, both included; without them, from the first stage to the last.

        Args:
            x: (B, in_channels, H, W), or with `start` the map that this stage takes.

        Raises:
            ValueError: an unknown stage, `start` behind `stop`, or a start that the network does not have.
        """

    @property
    def has_class_token(self) -> bool:
        """Whether `last_tokens` has a class token and patches to give."""
        return False

    def last_tokens(self, x: Tensor, count: int) -> list[Tensor]:
        """Read the last blocks of a transformer.

        Args:
            x: (B, in_channels, H, W).
            count: how many of the last blocks.

        Returns: `count` of (B, 1 + N, D) in the network's order, each behind the final norm, the class token
            first.

        Raises:
            TypeError: a network without a class token.
            ValueError: fewer blocks than `count`, or none asked for.
        """
        raise TypeError(f"{type(self).__name__} has no class token: it has no tokens to read")

    @abstractmethod
    def layers(self) -> list[list[nn.Module]]:
        """Return the modules of each layer, from the image up, for rates that fall with depth.

        What is in none of them (a final norm) goes with what reads the network.
        """


class MapBackbone(Backbone, ABC):
    """Blocks in a row: block i takes stage i−1's map and makes stage i's, so that a pass may begin at any."""

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

    def layers(self) -> list[list[nn.Module]]:
        """Return the blocks, one a layer."""
        return [[block] for block in self.blocks.values()]


class Tokens(NamedTuple):
    """Patches of images, not yet told apart by place.

    values: (B, N, D), row by row; positions: (1, N, D), what to add to them; grid: rows and columns.
    """

    values: Tensor
    positions: Tensor
    grid: tuple[int, int]


class TokenBackbone(Backbone):
    """Patches of an image and a class token, which see each other and can do with some of the patches alone.

    Every stage has the stride of a patch, and D channels. `forward` gives the patches as maps and the class
    token behind the last stage as the vector `CLASS_TOKEN`. Tasks that drop patches (MAE, I-JEPA) call
    `embed`, take some of `values` and `positions` alike, and `encode` them; probes read the last blocks.
    """

    @property
    def has_class_token(self) -> bool:
        """True."""
        return True

    def last_tokens(self, x: Tensor, count: int) -> list[Tensor]:
        """Embed and encode all patches."""
        tokens = self.embed(x)
        return self.encode(tokens.values, tokens.positions, last=count)

    @abstractmethod
    def embed(self, x: Tensor) -> Tokens:
        """Cut (B, in_channels, H, W) into ⌈H / patch⌉ × ⌈W / patch⌉ patches, zeros beyond the image."""

    @abstractmethod
    def encode(self, tokens: Tensor, positions: Tensor, last: int = 1) -> list[Tensor]:
        """Run all blocks over some patches and the class token.

        Args:
            tokens: (B, K, D), any that `embed` gave, in any order. positions: theirs, (B or 1, K, D).
            last: how many of the last blocks are read.

        Returns: `last` of (B, 1 + K, D) in the network's order, each behind the final norm, the class token
            first; the last one is what the network makes of the patches.

        Raises:
            ValueError: fewer blocks than `last`, or none asked for.
        """
