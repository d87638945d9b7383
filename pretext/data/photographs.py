"""Encoded photographs of any size, to be packed or streamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pretext.data.decode import BadImage, decode_reduced, decode_rgb
from pretext.data.labelled import VERSION, Example, Examples, Labels


class Fit(Protocol):
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
    """

    total: int
    encoded: Callable[[int], Encoded]
    fit: Fit
    labels: Callable[[int, int, int], Labels]

    def examples(self) -> Examples:
        """All of them decoded at full size, then resized: as they are packed."""

        def read(position: int) -> Example:
            content, name = self.encoded(position)
            pixels = decode_rgb(content, name)
            height, width = pixels.shape[:2]
            self.fit.check(height, width, name)
            labels = self.labels(position, height, width)
            return Example(self.fit.fit(pixels, (height, width)), *labels)

        return Examples(self.total, read)

    def image(self, position: int) -> NDArray[np.uint8]:
        """One image (H, W, 3), JPEG files decoded no larger than it takes: as they are streamed."""
        content, name = self.encoded(position)
        pixels, height, width = decode_reduced(content, self.fit.scaled, name)
        self.fit.check(height, width, name)
        return self.fit.fit(pixels, (height, width))

    def made(self) -> str:
        """What `image` makes of a file."""
        return json.dumps([type(self.fit).__name__, *self.fit.shape, VERSION])


def no_labels(position: int, height: int, width: int) -> Labels:
    """Of photographs without labels."""
    return Labels()


def read_file(path: Path | str) -> Encoded:
    """The bytes of an image file; BadImage where it cannot be read."""
    try:
        return Encoded(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise BadImage(str(path), error.strerror or "cannot be read") from error
