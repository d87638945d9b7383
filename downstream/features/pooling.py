"""What is kept of a stage's map when features are extracted."""

from __future__ import annotations

import math
import typing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


class Reduction(typing.Protocol):
    """A frozen dataclass whose repr names it: features are cached under that repr."""

    @property
    def dtype(self) -> torch.dtype:
        """How the values are stored: float32, or float16 (which ends at 65504)."""
        ...

    def __call__(self, features: Tensor, index: Tensor) -> Tensor:
        """Reduce the maps (B, C, h, w) of the images `index` (B,), an int64 tensor on the CPU."""
        ...


FINEST = 16
"""Most cells a side that a protocol may pool to: a stage of stride 16 has 14 × 14 on images of 224 pixels."""


def checked_pools(protocol: str, pools: Sequence[int]) -> tuple[int, ...]:
    """The grids that a protocol pools to, as it keeps them; lists come from configuration files.

    Raises:
        ValueError: none, or one outside 1 to 16.
    """
    grids = tuple(int(pool) for pool in pools)
    if not grids or not all(1 <= grid <= FINEST for grid in grids):
        raise ValueError(
            f"{protocol}: pools={grids!r} is out of range: grids of 1 to {FINEST} cells a side; (1,) is the "
            "global average"
        )
    return grids


@dataclass(frozen=True)
class GridPool:
    """Average over the cells of a grid × grid partition of the map: (B, C·grid²), float32.

    grid = 1 is global average pooling. A map smaller than the grid repeats its cells.
    """

    grid: int = 1

    def __post_init__(self) -> None:
        if self.grid < 1:
            raise ValueError(f"GridPool: grid must be at least 1, got {self.grid}")

    @property
    def dtype(self) -> torch.dtype:
        """Always float32."""
        return torch.float32

    def __call__(self, features: Tensor, index: Tensor) -> Tensor:
        """Reduce (B, C, h, w) to (B, C·grid²), channels outermost."""
        if self.grid == 1:
            return features.mean((2, 3))
        return F.adaptive_avg_pool2d(features, self.grid).flatten(1)


@dataclass(frozen=True)
class Maps:
    """The maps themselves, (B, C, h, w).

    half: store float16 (relative error 5e-4, values up to 65504), half the room of float32.
    """

    half: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """Float16 or float32."""
        return torch.float16 if self.half else torch.float32

    def __call__(self, features: Tensor, index: Tensor) -> Tensor:
        """Return the maps."""
        return features


@dataclass(frozen=True)
class PixelSample:
    """Features at `count` pixels an image, where the map is upsampled bilinearly to the image: (B, count, C).

    A 1×1 convolution and bilinear upsampling commute, so a linear head fitted on these rows is the head
    whose upsampled logits are compared with the mask at these pixels. The pixels of image i depend on
    i alone: the image is cut, row by row, into `count` runs of equal length and one pixel is drawn in each;
    all pixels are taken where `count` covers the image.

    Args:
        height, width: of the image and its mask.
        count: pixels an image.
    """

    height: int
    width: int
    count: int

    @property
    def dtype(self) -> torch.dtype:
        """Always float32: a channel may be small."""
        return torch.float32

    def positions(self, index: Tensor) -> Tensor:
        """Flat pixel positions (B, count) int64, row-major."""
        edges = np.linspace(0, self.height * self.width, self._count() + 1).astype(np.uint64)
        cell = np.arange(self._count(), dtype=np.uint64)
        image = index.numpy().astype(np.uint64)[:, None]
        drawn = _mix(image * np.uint64(0x9E3779B97F4A7C15) + _mix(cell + np.uint64(1)))  # (B, count)
        return torch.from_numpy((edges[:-1] + drawn % np.diff(edges)).astype(np.int64))

    def _count(self) -> int:
        return min(self.count, self.height * self.width)

    def __call__(self, features: Tensor, index: Tensor) -> Tensor:
        """Interpolate (B, C, h, w) at the sampled pixels of each image: (B, count, C)."""
        positions = self.positions(index).to(features.device)  # (B, count)
        x = (2 * (positions % self.width) + 1) / self.width - 1
        y = (2 * (positions // self.width) + 1) / self.height - 1
        grid = torch.stack([x, y], -1).unsqueeze(1).float()  # (B, 1, count, 2)
        # align_corners=False with replicated borders is what F.interpolate(mode="bilinear") does.
        sampled = F.grid_sample(
            features.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        )  # (B, C, 1, count)
        return sampled.squeeze(2).transpose(1, 2)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit counters (splitmix64, doi:10.1145/2714064.2660195)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@dataclass(frozen=True)
class Resize(ABC):
    """Resize a map (B, C, h, w) to (B, C · s²), float32, C · s² being at most `dimension` (arXiv:1603.08511).

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


class Window(NamedTuple):
    """An average-pooling window; padding is not averaged over."""

    kernel: int
    stride: int
    padding: int = 0

    def cells(self, side: int) -> int:
        """Side of what it makes of a map of that side."""
        return (side + 2 * self.padding - self.kernel) // self.stride + 1


PUBLISHED_WINDOWS = {
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
    """Average pooling of a map (B, C, h, w) to (B, C · g²), g² · C at most `dimension` (arXiv:1905.01235).

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
        window = PUBLISHED_WINDOWS.get((channels, height)) if height == width else None
        if window is None or window.cells(height) != g:
            return F.adaptive_avg_pool2d(features, g).flatten(1)
        return F.avg_pool2d(features, *window, count_include_pad=False).flatten(1)

    def side(self, channels: int, height: int, width: int) -> int:
        """g for a map of that size."""
        return min(max(1, math.isqrt(self.dimension // channels)), height, width)
