"""Common corruptions of images at rising severity (arXiv:1903.12261), made when an image is asked for.

A corruption takes an image (H, W, 3) float64 in [0, 1] and returns another, which is then clipped and rounded
to 8 bits. Its levels are what the severities mean, mildest first; the defaults are those of the released
Tiny-ImageNet-C, for images of 64 pixels. Images of another size need levels of their own.
"""

from __future__ import annotations

import hashlib
import io
import typing
import zlib
from abc import ABC
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from pretext.data.dataset import Pixels, Split

Picture = NDArray[np.float64]


class Corruption(typing.Protocol):
    """A frozen dataclass whose repr says all that determines it."""

    @property
    def name(self) -> str:
        """As in the paper."""
        ...

    @property
    def levels(self) -> tuple[float, ...]:
        """Strength by severity, mildest first."""
        ...

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """Corrupt (H, W, 3) in [0, 1]; what it returns may leave the range."""
        ...


@dataclass(frozen=True)
class _Levels(ABC):
    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        # Lists and integers come from configuration files.
        levels = tuple(float(level) for level in self.levels)
        object.__setattr__(self, "levels", levels)
        if not levels or not all(0 < level < np.inf for level in levels):
            raise ValueError(f"{type(self).__name__}: levels={levels!r}; expected positive numbers")


@dataclass(frozen=True)
class GaussianNoise(_Levels):
    """Normal noise in every channel; level: its standard deviation."""

    levels: tuple[float, ...] = (0.04, 0.08, 0.12, 0.15, 0.18)
    name = "gaussian_noise"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """See `Corruption`."""
        return np.asarray(image + generator.normal(scale=level, size=image.shape))


@dataclass(frozen=True)
class ShotNoise(_Levels):
    """Poisson noise of counted photons; level: photons at full intensity, fewer being noisier."""

    levels: tuple[float, ...] = (250, 100, 50, 30, 15)
    name = "shot_noise"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """See `Corruption`."""
        return np.asarray(generator.poisson(image * level) / level)


@dataclass(frozen=True)
class GaussianBlur(_Levels):
    """Gaussian blur, edges replicated; level: its standard deviation in pixels."""

    levels: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5)
    name = "gaussian_blur"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """See `Corruption`."""
        return np.asarray(gaussian_filter(image, (level, level, 0), mode="nearest"))


@dataclass(frozen=True)
class Brightness(_Levels):
    """HSV's value raised, hue and saturation kept; level: by how much."""

    levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    name = "brightness"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """See `Corruption`."""
        value = image.max(2, keepdims=True)
        raised = np.minimum(value + level, 1)
        # At constant hue and saturation the channels grow in proportion; black becomes gray.
        scaled = image * (raised / np.where(value > 0, value, 1))
        return np.asarray(np.where(value > 0, scaled, raised))


@dataclass(frozen=True)
class Contrast(_Levels):
    """Each channel drawn towards its mean; level: the share of the distance that is left."""

    levels: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1, 0.05)
    name = "contrast"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """See `Corruption`."""
        mean = image.mean((0, 1), keepdims=True)
        return np.asarray((image - mean) * level + mean)


@dataclass(frozen=True)
class Pixelate(_Levels):
    """Made smaller and larger again by box filters; level: the smaller side over the larger."""

    levels: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6, 0.5)
    name = "pixelate"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """See `Corruption`."""
        height, width = image.shape[:2]
        small = (max(1, int(width * level)), max(1, int(height * level)))
        box = Image.Resampling.BOX
        return np.asarray(_to_pil(image).resize(small, box).resize((width, height), box)) / 255


@dataclass(frozen=True)
class Jpeg(_Levels):
    """JPEG compression; level: its quality, lower being worse."""

    levels: tuple[float, ...] = (65, 58, 50, 40, 25)
    name = "jpeg_compression"

    def __call__(self, image: Picture, level: float, generator: np.random.Generator) -> Picture:
        """See `Corruption`."""
        file = io.BytesIO()
        _to_pil(image).save(file, format="JPEG", quality=int(level))
        with Image.open(file) as decoded:
            return np.asarray(decoded) / 255


ALL: tuple[Corruption, ...] = (
    GaussianNoise(),
    ShotNoise(),
    GaussianBlur(),
    Brightness(),
    Contrast(),
    Pixelate(),
    Jpeg(),
)
"""Every corruption, at the levels of Tiny-ImageNet-C."""


@dataclass(frozen=True, eq=False)
class Corrupted:
    """Images corrupted as they are read; the noise of an image depends on its position alone."""

    pixels: Pixels
    corruption: Corruption
    severity: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return self.pixels.shape

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Corrupted images of an index array or a slice: (B, H, W, 3) uint8."""
        positions = np.arange(len(self))[index]
        return np.stack([self._one(*pair) for pair in zip(positions, self.pixels[index], strict=True)])

    def _one(self, position: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seed = [zlib.crc32(self.corruption.name.encode()), self.severity, int(position)]
        level = self.corruption.levels[self.severity - 1]
        return to_bytes(self.corruption(image / 255, level, np.random.default_rng(seed)))


def corrupt(split: Split, corruption: Corruption, severity: int) -> Split:
    """The split with every image corrupted, under a digest of its own.

    Args:
        severity: 1 for the first level.

    Raises:
        ValueError: a severity that the corruption does not have.
    """
    if not 1 <= severity <= len(corruption.levels):
        raise ValueError(f"{corruption.name} has severities 1 to {len(corruption.levels)}, not {severity}")
    digest = hashlib.sha256(f"{split.digest} {corruption!r} {severity}".encode()).hexdigest()
    return replace(split, pixels=Corrupted(split.pixels, corruption, severity), digest=digest)


def to_bytes(image: Picture) -> NDArray[np.uint8]:
    """Clip to [0, 1] and round to 8 bits."""
    return np.asarray((image.clip(0, 1) * 255).round(), dtype=np.uint8)


def _to_pil(image: Picture) -> Image.Image:
    return Image.fromarray(to_bytes(image))
