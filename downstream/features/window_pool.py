"""Average pooling of every stage to about as many numbers, after Goyal et al. (arXiv:1905.01235)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Window(NamedTuple):
    """An average-pooling window; padding is not averaged over."""

    kernel: int
    stride: int
    padding: int = 0

    def cells(self, side: int) -> int:
        """Side of what it makes of a map of that side."""
        return (side + 2 * self.padding - self.kernel) // self.stride + 1


PUBLISHED = {
    # ResNet-50 at 224: conv1, res2 to res5.
    (64, 112): Window(10, 10, 4),
    (256, 56): Window(16, 8),
    (512, 28): Window(13, 5),
    (1024, 14): Window(8, 3),
    (2048, 7): Window(6, 1),
    # AlexNet at 227: conv1 to conv5, conv3 and conv4 alike.
    (96, 55): Window(19, 4),
    (256, 27): Window(12, 3),
    (384, 13): Window(9, 1),
    (256, 13): Window(8, 1),
}
"""Windows of the paper by the channels and the side of a map; each makes between 8192 and 9600 numbers."""


@dataclass(frozen=True)
class WindowPool:
    """Average pooling of a map (B, C, h, w) to (B, C · g²), float32, g² · C being at most `dimension`.

    g is the largest side that fits, at least 1 and at most the map's. With the default dimension this gives
    the paper's sizes for its networks, by the paper's windows (which overlap); maps of other sizes are cut
    into g × g cells.
    """

    dimension: int = 9600

    def __post_init__(self) -> None:
        if self.dimension < 1:
            raise ValueError(f"WindowPool: dimension must be at least 1, got {self.dimension}")

    @property
    def dtype(self) -> torch.dtype:
        """Always float32."""
        return torch.float32

    def __call__(self, features: Tensor, index: Tensor) -> Tensor:
        """Reduce (B, C, h, w) to (B, C · g²), channels outermost."""
        _, channels, height, width = features.shape
        g = self.side(channels, height, width)
        window = PUBLISHED.get((channels, height)) if height == width else None
        if window is None or window.cells(height) != g:
            return F.adaptive_avg_pool2d(features, g).flatten(1)
        return F.avg_pool2d(features, *window, count_include_pad=False).flatten(1)

    def side(self, channels: int, height: int, width: int) -> int:
        """g for a map of that size."""
        return min(max(1, math.isqrt(self.dimension // channels)), height, width)
