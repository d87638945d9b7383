"""The one door by which image files come in: any mode to 8-bit RGB, anything broken to `BadImage`."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485
"""Pixels above which a file is refused unread, as many as Pillow takes without a warning.

A small file can claim to be a huge image.
"""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
"""File names that count as images in a folder, in lower case."""


GAP = 2.0
"""How many times the wanted size a JPEG file stays when it is decoded reduced.

At 2 what follows by `resize` differs by about a gray level from the same on the full image (Pillow's
`reducing_gap` says "almost indistinguishable"), at 1 visibly.
"""

_JPEG = ("JPEG", "MPO")
_ORIENTATION = 0x0112  # EXIF; from 5 on the picture lies on its side


class BadImage(ValueError):
    """An image that cannot be used. name: the file, or archive and position; reason: why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # both in `args`: survives the pickling between processes
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class TooManyBadImages(ValueError):
    """More images were skipped than the policy tolerates."""


@dataclass
class Skips:
    """What to do with bad images: raise at the first (default), or skip, count and name them.

    Skipping still ends in `TooManyBadImages` as soon as more than `limit` of the `total` images are bad.
    """

    total: int
    allow: bool = False
    limit: float = 0.01
    bad: list[BadImage] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """What was skipped, in the order it was met."""
        return tuple(error.name for error in self.bad)

    def add(self, error: BadImage) -> None:
        """Skip one image, or raise."""
        if not self.allow:
            raise error
        self.bad.append(error)
        if len(self.bad) > self.limit * self.total:
            first = "; ".join(str(bad) for bad in self.bad[:3])
            raise TooManyBadImages(
                f"{len(self.bad)} of {self.total} images are bad, more than {self.limit:.0%}: {first}"
            ) from error


def decode_rgb(
    source: bytes | str | Path, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode an image file, or its bytes, to (H, W, 3) uint8 RGB.

    Turned upright by its EXIF orientation; transparency is laid on white; 16-bit gray is scaled to 8 bits;
    CMYK is converted without a profile; of an animation the first frame counts. Damage that a format does
    not check for (a flipped byte inside a JPEG) decodes to wrong pixels and cannot be seen here.

    Raises: BadImage for what is missing, empty, cut short, corrupt, huge or has no agreed range.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        return _decoded(image, name)


class Reduced(NamedTuple):
    """An image as decoded, (h, w, 3) uint8, and the height and width of the whole one; both upright."""

    pixels: NDArray[np.uint8]
    height: int
    width: int


def decode_reduced(
    source: bytes | str | Path,
    wanted: Callable[[int, int], tuple[float, float]],
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Reduced:
    """Decode as `decode_rgb` does, a JPEG file at 1/2, 1/4 or 1/8 of its size where that is plenty.

    Args:
        wanted: from upright height and width to those that the caller will resize the whole image to; what
            is decoded is at least GAP times as large.

    Raises: BadImage.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        if image.format not in _JPEG:
            pixels = _decoded(image, name)
            return Reduced(pixels, pixels.shape[0], pixels.shape[1])
        height, width = _upright(image, name)
        tall, wide = (math.ceil(GAP * side) for side in wanted(height, width))
        image.draft(None, (wide, tall) if image.size == (width, height) else (tall, wide))
        return Reduced(_decoded(image, name), height, width)


def image_size(
    source: bytes | str | Path, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """Upright height and width; of a JPEG file only the head is read, others are decoded.

    Raises: BadImage.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        if image.format in _JPEG:
            return _upright(image, name)
        height, width = _decoded(image, name).shape[:2]
        return height, width


def _upright(image: Image.Image, name: str) -> tuple[int, int]:
    try:
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception as error:  # EXIF is made by anybody
        raise BadImage(name, f"corrupt or cut short ({error})") from error
    return (image.width, image.height) if turned else (image.height, image.width)


def _decoded(image: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return np.array(_to_rgb(image, name))
    except BadImage:
        raise
    except Exception as error:  # decoders fail in many ways on bytes made to break them
        raise BadImage(name, f"corrupt or cut short ({error})") from error


def decode_index(
    source: bytes | str | Path, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a label mask (palette or 8-bit gray) to its (H, W) uint8 values, colours ignored.

    Raises: BadImage, also for a mask in another mode, whose values would not be labels.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        try:
            image.load()
        except Exception as error:  # as above
            raise BadImage(name, f"corrupt or cut short ({error})") from error
        if image.mode not in {"P", "L"}:
            raise BadImage(name, f"a mask must be palette or 8-bit gray, not mode {image.mode!r}")
        return np.array(image, np.uint8)


def _named(source: bytes | str | Path, name: str | None) -> str:
    if name is not None:
        return name
    return "<bytes>" if isinstance(source, bytes) else str(source)


def _opened(source: bytes | str | Path, name: str, max_pixels: int) -> Image.Image:
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise BadImage(name, error.strerror or "cannot be read") from error
    if not content:
        raise BadImage(name, "empty")
    try:
        image = Image.open(io.BytesIO(content))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(name, f"too many pixels ({error})") from error
    except UnidentifiedImageError as error:  # its message is the address of the buffer
        raise BadImage(name, "no image that can be read") from error
    except Exception as error:  # broken headers raise anything
        raise BadImage(name, f"no image that can be read ({error})") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width}×{image.height}"
        image.close()
        raise BadImage(name, f"{size} is more than {max_pixels} pixels")
    return image


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(np.asarray(image), name))
    if image.mode == "F":
        raise BadImage(name, "floating-point pixels have no agreed range")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise BadImage(name, f"values {wide.min()} to {wide.max()} do not fit 16 bits")
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)
