"""Encoded photographs of any size, to be packed or streamed."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os.path import splitext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import Remark
from pretext.data.decode import AS_USUAL, NARROW, Decoding, content_of, decode, decode_reduced, is_turned
from pretext.data.labelled import VERSION, Example, Examples, Labels
from pretext.data.source import BadArchive

NARROW_ONE = f"16-bit file read as {NARROW} bits"
_WIDE = frozenset({".png", ".tif", ".tiff", ".jp2"})
"""Suffixes of files whose values may be narrower than the file says, see `Decoding.bits`."""


class Fit(typing.Protocol):
    """How photographs of any size become images of one size: `Square` or `Canvas`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of all images."""
        ...

    def scaled(self, height: int, width: int) -> tuple[float, float]:
        """Height and width that a whole photograph of this size is resized to."""
        ...

    def check(self, height: int, width: int, name: str) -> None:
        """Raise BadImage for a photograph of a size that does not fit."""
        ...

    def fit(self, image: NDArray[np.uint8], whole: tuple[int, int]) -> NDArray[np.uint8]:
        """Image (h, w, 3), which may be a reduced one of a photograph of size `whole`, at the one size."""
        ...


class Encoded(NamedTuple):
    """The bytes of an image file, and what to call it."""

    content: bytes
    name: str


@dataclass(frozen=True)
class Photographs:
    """Photographs by position.

    encoded: their files; may raise BadImage. fit: what brings them to one size. labels: of a position and
    the photograph's height and width, on the image of one size. All are called from several threads.
    decoding: what is done where a file leaves a choice.
    """

    total: int
    encoded: Callable[[int], Encoded]
    fit: Fit
    labels: Callable[[int, int, int], Labels]
    decoding: Decoding = AS_USUAL

    def examples(self) -> Examples:
        """All of them decoded at full size, then resized: as they are packed."""

        def read(position: int) -> Example:
            content, name = self.encoded(position)
            pixels, is_narrow = decode(content, name, self.decoding)
            height, width = pixels.shape[:2]
            self.fit.check(height, width, name)
            labels = self.labelled(position, height, width, is_narrow, name)
            return Example(self.fit.fit(pixels, (height, width)), *labels)

        return Examples(self.total, read)

    def labelled(self, position: int, height: int, width: int, is_narrow: bool, name: str) -> Labels:
        """`labels` of a photograph of this size, with the remark that it is narrow, see `Decoded`."""
        labels = self.labels(position, height, width)
        return labels._replace(remarks=(*labels.remarks, narrow(name))) if is_narrow else labels

    def image(self, position: int) -> NDArray[np.uint8]:
        """One image (H, W, 3), JPEG files decoded no larger than it takes: as they are streamed."""
        content, name = self.encoded(position)
        pixels, height, width = decode_reduced(content, self.fit.scaled, name, self.decoding)
        self.fit.check(height, width, name)
        return self.fit.fit(pixels, (height, width))

    def made(self) -> str:
        """What `image` makes of a file."""
        choice = self.decoding.describe()
        return json.dumps([type(self.fit).__name__, *self.fit.shape, VERSION, *([choice] if choice else [])])


def narrow(name: str) -> Remark:
    """On a 16-bit file whose values were taken to have fewer bits."""
    return Remark(f"16-bit files read as {NARROW} bits", 1, (Path(name).name,), NARROW_ONE, left_out=False)


def decoded_as(names: Iterable[str], decoding: Decoding) -> dict[str, object]:
    """What determines the pixels made of these files beside their bytes, for the identity of a pack."""
    wide = any(splitext(name)[1].lower() in _WIDE for name in names)
    return {**({"wide": 1} if wide else {}), **decoding.describe()}


class OtherSize(BadArchive):
    """An annotation for another size (height, width) than its image has."""

    def __init__(self, message: str, stated: tuple[float, float]) -> None:
        super().__init__(message)
        self.stated = stated


def explained(error: OtherSize, image: Encoded, height: int, width: int) -> BadArchive:
    """The error with what EXIF data have to do with it, of an image that is decoded at this size."""
    swapped: tuple[float, float] = (width, height)
    if error.stated != swapped or not is_turned(image.content):
        return error
    return BadArchive(
        f"{error}: EXIF data turn the photograph on its side, and the annotation is of the other way round. "
        "data.upright=false reads photographs as they are stored, data.upright=true turns them"
    )


def no_labels(position: int, height: int, width: int) -> Labels:
    """Of photographs without labels."""
    return Labels()


def read_file(path: Path | str) -> Encoded:
    """The bytes of an image file; BadImage where it cannot be read."""
    return Encoded(content_of(Path(path)), str(path))
