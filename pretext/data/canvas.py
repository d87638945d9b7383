"""Images of varied size on one canvas: scaled to fit, padded on the right and below."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pretext.data.dataset import IGNORE

PADDING = 128
"""Gray level of padding: without colour and of middle lightness."""


class Canvas(NamedTuple):
    """A canvas (height, width) in pixels. Images keep their aspect and lie in its upper left corner."""

    height: int
    width: int

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image of this size has on the canvas."""
        factor = min(self.height / height, self.width / width)
        return (
            min(self.height, max(1, round(height * factor))),
            min(self.width, max(1, round(width * factor))),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def check(self, height: int, width: int, name: str) -> None:
        """Images of every size fit."""

    def place(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Image (H, W, 3) on the canvas, bilinear with antialiasing."""
        return self.fit(image, (image.shape[0], image.shape[1]))

    def fit(self, image: NDArray[np.uint8], whole: tuple[int, int]) -> NDArray[np.uint8]:
        """As `place`; the image (h, w, 3) may be its `whole` size (height, width) reduced."""
        return self._on(image, whole, Image.Resampling.BILINEAR, PADDING)

    def place_mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mask (H, W) on the canvas, nearest label; padding is IGNORE."""
        return self._on(mask, (mask.shape[0], mask.shape[1]), Image.Resampling.NEAREST, IGNORE)

    def place_boxes(self, boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Boxes (K, 4) xyxy of an image of this size, in pixels of the canvas."""
        tall, wide = self.scaled(height, width)
        factor = np.array([wide / width, tall / height] * 2, np.float64)
        placed = (boxes.astype(np.float64) * factor).astype(np.float32)
        return np.minimum(placed, np.array([wide, tall] * 2, np.float32))  # rounding may step over the edge

    def note(self) -> str:
        """What was done to the images, for the notes of a data set."""
        return f"scaled to fit {self.height}×{self.width} and padded with gray; padding is ignored in masks"

    def _on(
        self,
        image: NDArray[np.uint8],
        whole: tuple[int, int],
        resampling: Image.Resampling,
        padding: int,
    ) -> NDArray[np.uint8]:
        tall, wide = self.scaled(*whole)
        canvas = np.full((self.height, self.width, *image.shape[2:]), padding, np.uint8)
        canvas[:tall, :wide] = Image.fromarray(image).resize((wide, tall), resampling)
        return canvas
