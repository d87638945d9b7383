"""The one door by which image files come in: any mode to 8-bit RGB, anything broken to `BadImage`."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pretext.names import shown

MAX_PIXELS = 89_478_485
"""Pixels above which a file is refused unread, as many as Pillow takes without a warning.

A small file can claim to be a huge image.
"""

SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2",
    ".ppm", ".pgm", ".pbm", ".pnm",
})  # fmt: skip
"""File names that count as images in a folder, in lower case."""

NARROW = 12
"""Bits that the values of a 16-bit file are taken to have where none needs more.

Cameras and scanners of 12 bits write such files. Read as 16 bits they are black: their brightest pixel is 15
of 255.
"""

GAP = 2.0
"""How many times the wanted size a JPEG file stays when it is decoded reduced.

At 2 what follows by `resize` differs by about a gray level from the same on the full image (Pillow's
`reducing_gap` says "almost indistinguishable"), at 1 visibly.
"""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `MAX_PIXELS` refuses it
_JPEG = ("JPEG", "MPO")
_ORIENTATION = 0x0112  # EXIF; from 5 on the picture lies on its side

LONGEST = 1000
"""Characters of a path, or of a reason, that a message has."""


class BadImage(ValueError):
    """An image that cannot be used. name: the file, or archive and position; reason: why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # both in `args`: survives the pickling between processes
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.name, LONGEST)}: {shown(self.reason, LONGEST)}"


@dataclass(frozen=True)
class Decoding:
    """What is done where a file leaves a choice.

    upright: turn a photograph by the orientation in its EXIF data; else it is read as it is stored.
    bits: how many of the 16 bits of a 16-bit gray file its values have, 8 to 16: the largest that fits is
    white, files with larger values are bad; None: 16, or NARROW where no value of the file needs more.

    Raises: ValueError for another number of bits.
    """

    upright: bool = True
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise ValueError(f"bits must be 8 to 16, or null to tell by the values; it is {self.bits}")

    def describe(self) -> dict[str, object]:
        """What differs from the default, for the identity of a pack."""
        given = {"upright": self.upright, "bits": self.bits}
        return {key: value for key, value in given.items() if value != getattr(AS_USUAL, key)}


AS_USUAL = Decoding()


class Decoded(NamedTuple):
    """An image (H, W, 3) uint8, and whether it is a 16-bit file whose values were taken as of NARROW bits."""

    pixels: NDArray[np.uint8]
    narrow: bool


class TooManyBadImages(ValueError):
    """More images were skipped than the policy tolerates."""


SKIP_SHARE = 0.01
"""Share of the images that may be bad where bad ones are skipped."""


@dataclass
class Skips:
    """What to do with bad images: raise at the first (default), or skip, count and name them.

    Skipping still ends in `TooManyBadImages` as soon as more than the share `limit` of the `total` images are
    bad, in [0, 1], and more than one: of few images one is more than any small share.
    """

    total: int
    allow: bool = False
    limit: float = SKIP_SHARE
    bad: list[BadImage] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= 1:
            raise ValueError(f"the share of images that may be skipped is in [0, 1], not {self.limit}")

    @property
    def names(self) -> tuple[str, ...]:
        """What was skipped, in the order it was met."""
        return tuple(error.name for error in self.bad)

    def add(self, error: BadImage) -> None:
        """Skip one image, or raise."""
        if not self.allow:
            raise error
        self.bad.append(error)
        if len(self.bad) > max(1, self.limit * self.total):
            first = "; ".join(str(bad) for bad in self.bad[:3])
            raise TooManyBadImages(
                f"{len(self.bad)} of {self.total} images are bad, more than {self.limit:.0%}: {first}"
            ) from error


def decode_rgb(
    source: bytes | str | Path, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode an image file, or its bytes, to (H, W, 3) uint8 RGB, see `decode`."""
    return decode(source, name, max_pixels=max_pixels).pixels


def decode(
    source: bytes | str | Path,
    name: str | None = None,
    decoding: Decoding = AS_USUAL,
    max_pixels: int = MAX_PIXELS,
) -> Decoded:
    """Decode an image file, or its bytes, to 8-bit RGB.

    Turned upright by its EXIF orientation, and 16-bit gray scaled to 8 bits, see `Decoding`; transparency is
    laid on white; CMYK is converted without a profile; of an animation the first frame counts. Damage that a
    format does not check for (a flipped byte inside a JPEG) decodes to wrong pixels and cannot be seen here.

    Raises: BadImage for what is missing, empty, cut short, corrupt, huge or has no agreed range.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        return _decoded(image, name, decoding)


def is_turned(content: bytes) -> bool:
    """Whether the EXIF data of an image file exchange its height and width; False where it cannot be read."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return _lies(image)
    except Exception:  # as below
        return False


class Reduced(NamedTuple):
    """An image as decoded, (h, w, 3) uint8, and the height and width of the whole one; both upright."""

    pixels: NDArray[np.uint8]
    height: int
    width: int


def decode_reduced(
    source: bytes | str | Path,
    wanted: Callable[[int, int], tuple[float, float]],
    name: str | None = None,
    decoding: Decoding = AS_USUAL,
    max_pixels: int = MAX_PIXELS,
) -> Reduced:
    """Decode as `decode` does, a JPEG file at 1/2, 1/4 or 1/8 of its size where that is plenty.

    Args:
        wanted: from upright height and width to those that the caller will resize the whole image to; what
            is decoded is at least GAP times as large.

    Raises: BadImage.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        if image.format not in _JPEG:
            pixels = _decoded(image, name, decoding).pixels
            return Reduced(pixels, pixels.shape[0], pixels.shape[1])
        height, width = _size(image, name, decoding)
        tall, wide = (math.ceil(GAP * side) for side in wanted(height, width))
        image.draft(None, (wide, tall) if image.size == (width, height) else (tall, wide))
        return Reduced(_decoded(image, name, decoding).pixels, height, width)


class Measured(NamedTuple):
    """Height and width of an image as `decode` returns it, and its `Decoded.narrow`."""

    height: int
    width: int
    narrow: bool


def measure(
    source: bytes | str | Path,
    name: str | None = None,
    decoding: Decoding = AS_USUAL,
    max_pixels: int = MAX_PIXELS,
) -> Measured:
    """Measure an image; of a JPEG file only the head is read, others are decoded.

    Raises: BadImage.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        if image.format in _JPEG:
            return Measured(*_size(image, name, decoding), narrow=False)
        pixels, narrow = _decoded(image, name, decoding)
        return Measured(pixels.shape[0], pixels.shape[1], narrow)


def _lies(image: Image.Image) -> bool:
    return image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)


def _size(image: Image.Image, name: str, decoding: Decoding) -> tuple[int, int]:
    """Height and width that the decoded image will have."""
    try:
        turned = decoding.upright and _lies(image)
    except Exception as error:  # EXIF is made by anybody
        raise BadImage(name, "corrupt or cut short") from error
    return (image.width, image.height) if turned else (image.height, image.width)


def _decoded(image: Image.Image, name: str, decoding: Decoding) -> Decoded:
    deep = ";16" in str(getattr(image, "tile", ""))  # of a file, until it is loaded
    try:
        image.load()
        if decoding.upright:
            ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I"):
            return _from_wide(image, name, decoding)
        pixels = np.array(_to_rgb(image, name))
    except BadImage:
        raise
    except Exception as error:  # decoders fail in many ways on bytes made to break them
        raise BadImage(name, "corrupt or cut short") from error
    if deep:
        _check_deep(pixels, name, decoding)
    return Decoded(pixels, narrow=False)


def decode_index(
    source: bytes | str | Path, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a label mask (palette or 8-bit gray) to its (H, W) uint8 values, colours ignored.

    Raises: BadImage, also for a mask in another mode, whose values would not be labels.
    """
    name = _named(source, name)
    image = decode_stored(source, name, max_pixels)
    if image.mode not in {"P", "L"}:
        raise BadImage(name, f"a mask must be palette or 8-bit gray, not mode {image.mode!r}")
    return np.array(image, np.uint8)


def decode_stored(
    source: bytes | str | Path, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode an image file as it is stored: in its own mode, not turned.

    Raises: BadImage.
    """
    name = _named(source, name)
    with _opened(source, name, max_pixels) as image:
        try:
            image.load()
        except Exception as error:  # as above
            raise BadImage(name, "corrupt or cut short") from error
        return image.copy()


def _named(source: bytes | str | Path, name: str | None) -> str:
    if name is not None:
        return name
    return "<bytes>" if isinstance(source, bytes) else str(source)


def content_of(path: Path, name: str | None = None) -> bytes:
    """The bytes of a file of any content.

    Raises: BadImage for what is missing, cannot be read, or is no file: reading a pipe might never end.
    """
    name = str(path) if name is None else name
    try:
        if path.is_dir():
            raise BadImage(name, "a folder, and no image")
        if path.exists() and not path.is_file():
            raise BadImage(name, "no file, but a pipe, a socket or a device")
        if path.is_symlink() and not path.exists():
            raise BadImage(name, "a link to nothing")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage(name, "there is no such file") from error
    except OSError as error:
        raise BadImage(name, f"cannot be read: {error.strerror}") from error


def _opened(source: bytes | str | Path, name: str, max_pixels: int) -> Image.Image:
    content = source if isinstance(source, bytes) else content_of(Path(source), name)
    if not content:
        raise BadImage(name, "empty")
    try:
        image = Image.open(io.BytesIO(content))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(name, f"more than {max_pixels:,} pixels") from error
    except Exception as error:  # broken headers raise anything
        raise BadImage(name, "no image that can be read") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width}×{image.height}"
        image.close()
        raise BadImage(name, f"{size}, more than {max_pixels:,} pixels")
    return image


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F":
        raise BadImage(name, "floating-point pixels have no agreed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")


def _from_wide(image: Image.Image, name: str, decoding: Decoding) -> Decoded:
    """Gray of more than 8 bits."""
    wide = np.asarray(image).astype(np.int64)
    low, high = int(wide.min()), int(wide.max())
    if low < 0 or high > 65535:
        raise BadImage(name, f"values {low} to {high} do not fit 16 bits")
    # Pillow has scaled what says its own range: netpbm's files.
    told = decoding.bits if decoding.bits is not None else 16 if image.format == "PPM" else None
    bits = told if told is not None else NARROW if high < 2**NARROW else 16
    white = 2**bits - 1
    if high > white:
        raise BadImage(name, f"values {low} to {high} do not fit bits={bits}")
    gray = ((wide * 255 + white // 2) // white).astype(np.uint8)
    return Decoded(np.repeat(gray[..., None], 3, axis=2), narrow=told is None and 0 < high < 2**NARROW)


def _check_deep(pixels: NDArray[np.uint8], name: str, decoding: Decoding) -> None:
    """Of colours of 16 bits Pillow reads the upper 8."""
    narrow = 0 < int(pixels.max()) < 2 ** (NARROW - 8)
    if (narrow and decoding.bits is None) or decoding.bits not in (None, 16):
        raise BadImage(
            name,
            f"is in colour with 16 bits a channel, of which the upper 8 are read, and its values are within "
            f"{decoding.bits or NARROW} bits: it would be black; save it with 8 bits",
        )
