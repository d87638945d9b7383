"""Two networks side by side, each of which sees channels of its own (split-brain, arXiv:1611.09842)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import pretext.backbones as networks
from pretext.backbones.base import Backbone, MapBackbone


class SideBySide(MapBackbone):
    """Two networks of one kind, each on its own channels of the input; a stage's map is both of theirs.

    Nothing crosses between them. The channels of a map are the first network's, then the second's.

    Args:
        in_channels: channels of the input map.
        network: class of both, as `pretext.backbones.resolve` finds it; its blocks must stand in a row.
        first: channels of the input, from the front, that the first network sees; the second sees the rest.
        arguments: of both networks.

    Raises:
        ValueError: a network that sees no channel, or a class that cannot be built so.
    """

    def __init__(
        self, in_channels: int, network: str, first: int = 1, arguments: Mapping[str, Any] | None = None
    ) -> None:
        if not 0 < first < in_channels:
            raise ValueError(
                f"SideBySide.first={first} of {in_channels} channels leaves a network none to see"
            )
        given = dict(arguments or {})
        halves = [networks.build(network, given, channels) for channels in (first, in_channels - first)]
        one, other = halves
        if not isinstance(one, MapBackbone):
            raise ValueError(f"SideBySide takes a network whose blocks stand in a row, not {network}")
        sees = (first, *(stage.channels for stage in one.stages))
        blocks = [
            _Both(one.blocks[name], other.blocks[name], seen)
            for name, seen in zip(one.stage_names, sees, strict=False)
        ]
        stages = [stage._replace(channels=2 * stage.channels) for stage in one.stages]
        super().__init__(
            in_channels, stages, blocks, {"network": network, "first": first, "arguments": given}
        )
        self._network, self._first, self._given = network, first, given

    def halves(self) -> tuple[Backbone, Backbone]:
        """Return the two networks alone; their weights are this one's."""
        found = []
        for part, channels in enumerate((self._first, self.in_channels - self._first)):
            with torch.device("meta"):  # what it is built with is replaced at once
                half = networks.build(self._network, self._given, channels)
            for name, both in self.blocks.items():
                half.blocks[name] = list(both.children())[part]
            found.append(half.train(self.training))
        return found[0], found[1]

    def shown(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each network sees of an input (B, in_channels, H, W)."""
        return x[:, : self._first], x[:, self._first :]

    def with_halves(self, halves: Sequence[Backbone]) -> SideBySide:
        """Return two other networks of one kind side by side, which see what these do; weights are copied."""
        one = halves[0]
        with torch.random.fork_rng(
            devices=[]
        ):  # initial weights, soon replaced, must not shift anybody's draws
            made = SideBySide(self.in_channels, networks.class_path(type(one)), self._first, one.arguments)
        for own, other in zip(made.halves(), halves, strict=True):
            like = next(other.parameters())
            own.to(device=like.device, dtype=like.dtype).load_state_dict(other.state_dict())
        return made.train(one.training)


class _Both(nn.Module):
    """Two blocks, the first on the first `seen` channels."""

    def __init__(self, first: nn.Module, second: nn.Module, seen: int) -> None:
        super().__init__()
        self.first, self.second = first, second
        self._seen = seen

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x[:, : self._seen]), self.second(x[:, self._seen :])], dim=1)
