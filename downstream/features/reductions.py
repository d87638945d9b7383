"""What is kept of a stage's map when features are extracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


class Reduction(Protocol):
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
