"""Pictures to take colours from: training images that look like the one to be coloured, or chosen ones.

The descriptor is "GIST-like" (Oliva & Torralba 2001, doi:10.1023/A:1011139631724): energies of 32 Gabor
filters, 4 scales × 8 orientations, averaged over the cells of a 4×4 grid, 512 numbers. Remembered, not read:
the filters' centres (.3 / 1.85ˢ cycles a pixel) and widths. Left out: the original's whitening before the
filters; instead the descriptor has unit length, so that contrast does not matter, as brightness does not.
"""

from __future__ import annotations

import math
import typing
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pretext.color import lightness
from pretext.colorizers import given
from pretext.colorizers.arrays import with_color
from pretext.colorizers.given import Given
from pretext.task import Loader

SIDE = 64
"""Pixels; every image is seen at this size, squashed where it is no square."""

BORDER = 16
"""Pixels mirrored on each side, so that filters see no edge where an image ends."""

SCALES, ORIENTATIONS, GRID = 4, 8, 4
DIMENSIONS = SCALES * ORIENTATIONS * GRID**2
"""512."""

_HIGHEST, _STEP = 0.3, 1.85
_RADIAL, _ANGULAR = 3.5, 2 * math.pi
_TOGETHER = 64
_FAINT = 1e-6
"""Mean energy, in units of L, below which an image shows nothing but rounding."""


def gist(light: Tensor) -> Tensor:
    """Describe what images show, whatever their brightness and contrast.

    Args:
        light: L in [0, 100], (B, 1, H, W), any size.

    Returns:
        (B, 512) float64 of unit length: scale, orientation, row, column; 0 for an image of one gray.
    """
    return torch.cat([_described(some) for some in torch.split(light.detach().double(), _TOGETHER)])


def _described(light: Tensor) -> Tensor:
    small = F.interpolate(light, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    spectrum = torch.fft.fft2(F.pad(small, [BORDER] * 4, mode="reflect")[:, 0])  # (B, 96, 96)
    cells = []
    for response in _filters().to(light.device):
        energy = torch.fft.ifft2(spectrum * response).abs()[:, BORDER:-BORDER, BORDER:-BORDER]
        cells.append(F.avg_pool2d(energy[:, None], SIDE // GRID).flatten(1))  # (B, 16)
    described = torch.cat(cells, 1)
    described = torch.where(described.mean(1, keepdim=True) > _FAINT, described, 0)
    return F.normalize(described, dim=1)


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    """Transfer functions (32, 96, 96): bells round a frequency and a direction, on one side and 0 at 0.

    One-sided, a filter's response is complex and its modulus the local energy, free of the wave's phase.
    """
    frequency = torch.fft.fftfreq(SIDE + 2 * BORDER, dtype=torch.float64)  # cycles a pixel
    down, across = torch.meshgrid(frequency, frequency, indexing="ij")
    radius, angle = torch.hypot(down, across), torch.atan2(down, across)
    filters = []
    for scale in range(SCALES):
        ring = torch.exp(-_RADIAL * (radius / (_HIGHEST / _STEP**scale) - 1) ** 2)
        for orientation in range(ORIENTATIONS):
            away = angle - math.pi * orientation / ORIENTATIONS
            away = torch.remainder(away + math.pi, 2 * math.pi) - math.pi
            filters.append(ring * torch.exp(-_ANGULAR * away**2) * (radius > 0))
    return torch.stack(filters)


class Kept(NamedTuple):
    """Training images with colour.

    pixels: (N, 3, h, w) uint8. labels: (N,) int64 classes, or None where the set has none.
    """

    pixels: Tensor
    labels: Tensor | None


def keep(system: str, loader: Loader, images: int) -> Kept:
    """Those of at most so many evenly spaced training images that have colour.

    Raises:
        ValueError: none has; the message names the system.
    """
    pixels, labels = [], []
    for rgb, classes in with_color(loader, images):
        pixels.append((rgb * 255).round().byte())
        if classes is not None and classes.dim() == 1:
            labels.append(classes)
    if not sum(map(len, pixels)):
        raise ValueError(f"{system}: no training image has colour")
    return Kept(torch.cat(pixels), torch.cat(labels) if labels else None)


class ReferenceSource(typing.Protocol):
    """Where a system's references come from."""

    def fit(self, loader: Loader, seed: int) -> None:
        """See training images."""
        ...

    def of(self, image: Given, count: int) -> list[Tensor]:
        """So many references of an image, each (3, h, w) in [0, 1] and with colour, the best first.

        Raises:
            ValueError: there are fewer; the message names the system and the image.
        """
        ...


class References:
    """Training images that look most alike, by `gist`: a system with these is automatic.

    Images without colour are left out. Nothing is random; of equally near images the earlier comes first.

    Args:
        images: at most so many training images are kept, evenly spaced.

    Attributes:
        pixels: (N, 3, h, w) uint8, what was kept. labels: (N,) int64 classes, or None; both from `fit` on.
    """

    pixels: Tensor
    labels: Tensor | None

    def __init__(self, images: int = 2000) -> None:
        if images < 1:
            raise ValueError(f"References.images starts at 1, got {images}")
        self._images = images
        self._described: Tensor | None = None

    def fit(self, loader: Loader, seed: int) -> None:
        """Keep training images and what they show; `seed` decides nothing.

        Raises:
            ValueError: no training image has colour.
        """
        self.pixels, self.labels = keep("References", loader, self._images)
        some = torch.split(self.pixels, _TOGETHER)
        self._described = torch.cat([gist(lightness(pixels.float() / 255)) for pixels in some])

    def __len__(self) -> int:
        return 0 if self._described is None else len(self._described)

    def order(self, light: Tensor) -> Tensor:
        """Places of the kept images, the most alike first: L (1, H, W) → (N,) int64.

        Raises:
            ValueError: nothing was fitted yet.
        """
        if self._described is None:
            raise ValueError("References: fit to training images first")
        # Differences, not a matrix product: equal images must have equal distances, in any company.
        away = (self._described - gist(light[None])).square().sum(1)
        return away.argsort(stable=True)

    def nearest(self, light: Tensor, k: int) -> list[Tensor]:
        """The `k` training images that look most like L (1, H, W), each (3, h, w) RGB in [0, 1].

        Raises:
            ValueError: nothing was fitted yet, or fewer were kept.
        """
        order = self.order(light)
        if not 1 <= k <= len(order):
            raise ValueError(f"References has {len(order)} images, from which k={k} cannot be taken")
        return [self.pixels[place].float() / 255 for place in order[:k].tolist()]

    def of(self, image: Given, count: int) -> list[Tensor]:
        """The nearest; see `ReferenceSource`. What is given beside the image is not read."""
        try:
            return self.nearest(torch.from_numpy(image.lightness)[None], count)
        except ValueError as error:
            raise ValueError(f"{image.where}: {error}") from error


class Chosen:
    """References that somebody chose for the image, `Hints.references`: a system with these is assisted."""

    def fit(self, loader: Loader, seed: int) -> None:
        """See nothing: whoever chooses has looked."""

    def of(self, image: Given, count: int) -> list[Tensor]:
        """The first ones; see `ReferenceSource`."""
        return given.references(image, count)[:count]
