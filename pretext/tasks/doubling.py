"""What decoders share: convolutions between which the resolution is doubled and the width halved."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

START = 4
"""Cells on a side that a decoder starts from."""

NARROWEST = 16
"""Of its maps."""


def widths(hidden: int, doublings: int) -> list[int]:
    """Of the maps between, from the widest."""
    return [max(hidden >> i, NARROWEST) for i in range(doublings + 1)]


def convolutions(hidden: int, doublings: int) -> nn.ModuleList:
    """One for each doubling, with BatchNorm and ReLU."""
    return nn.ModuleList(
        nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
        for a, b in pairwise(widths(hidden, doublings))
    )


def doubled(x: Tensor, convs: nn.ModuleList, side: int) -> Tensor:
    """Run maps (B, hidden, START, START) through `convolutions` to (B, narrowest, side, side)."""
    for number, conv in enumerate(convs, start=1):
        size = side if number == len(convs) else min(side, START << number)
        x = conv(F.interpolate(x, (size, size), mode="nearest"))
    return x
