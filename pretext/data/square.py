"""Images of varied size as squares: the centre, resized."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pretext.data.decode import BadImage


class Square(NamedTuple):
    """The centre square of an image whose short side is resized to `size` pixels.

    upscale: enlarge images with a shorter side instead of refusing them.
    """

    size: int
    upscale: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every square."""
        return self.size, self.size

    def scaled(self, height: int, width: int) -> tuple[float, float]:
        """Height and width that a whole image of this size is resized to."""
        factor = self.size / min(height, width)
        return height * factor, width * factor

    def check(self, height: int, width: int, name: str) -> None:
        """Raise BadImage if an image of this size is too small, ValueError if a square has no pixel."""
        if self.size < 1:
            raise ValueError(f"size is a number of pixels, at least 1, got {self.size}")
        if min(height, width) < self.size and not self.upscale:
            raise BadImage(
                name,
                f"is {width}×{height}, smaller than size={self.size}: a size of {min(height, width)} or less "
                "takes it as it is, upscale=true enlarges it",
            )

    def fit(self, image: NDArray[np.uint8], whole: tuple[int, int]) -> NDArray[np.uint8]:
        """Image (h, w, 3) to (size, size, 3), bilinear, antialiased; it may be its `whole` size reduced."""
        height, width = image.shape[:2]
        short = min(height, width)
        # Cut in source pixels: one resize does it, and nothing is made that is then cut off.
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        picture = Image.fromarray(image)
        return np.array(picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box))

    def note(self) -> str:
        """What was done to the images, for the notes of a data set."""
        return f"short side resized to {self.size}, centre cut out"

    def describe(self) -> dict[str, object]:
        """What determines the squares."""
        return {"size": self.size, "upscale": self.upscale}
