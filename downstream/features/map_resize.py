"""Bringing the maps of every stage to about as many numbers, as in Zhang et al. (arXiv:1603.08511)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Resize(ABC):
    """Resize a map (B, C, h, w) to (B, C · s²), float32, C · s² being at most `dimension`.

    s is the largest side that fits, at least 1 and never beyond the map's own. AlexNet's conv1 to conv5
    become 10, 6, 5, 5 and 6 cells wide.

    Raises:
        ValueError: a dimension below 1.
    """

    dimension: int = 9600

    def __post_init__(self) -> None:
        if self.dimension < 1:
            raise ValueError(f"{type(self).__name__}: dimension must be at least 1, got {self.dimension}")

    @property
    def dtype(self) -> torch.dtype:
        """Always float32."""
        return torch.float32

    def __call__(self, features: Tensor, index: Tensor) -> Tensor:
        """Reduce (B, C, h, w) to (B, C · s²), channels outermost."""
        return self.resized(features.float(), self.side(features)).flatten(1)

    def side(self, features: Tensor) -> int:
        """s for such maps (B, C, h, w)."""
        _, channels, height, width = features.shape
        return min(max(1, math.isqrt(self.dimension // channels)), height, width)

    @abstractmethod
    def resized(self, features: Tensor, side: int) -> Tensor:
        """Maps (B, C, side, side)."""


@dataclass(frozen=True)
class BilinearResize(Resize):
    """`Resize` bilinearly, without antialiasing: what the release does."""

    def resized(self, features: Tensor, side: int) -> Tensor:
        """Maps (B, C, side, side)."""
        return F.interpolate(features, (side, side), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class AverageResize(Resize):
    """`Resize`, each cell the average of its part of the map: what the paper's text says."""

    def resized(self, features: Tensor, side: int) -> Tensor:
        """Maps (B, C, side, side)."""
        return F.adaptive_avg_pool2d(features, side)
