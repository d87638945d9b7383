"""The yardstick of colours that have nothing to do with the image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Hints
from pretext.colorizers.draws import drawn_from
from pretext.colorizers.given import one_by_one
from pretext.colorizers.retrieval import keep
from pretext.task import Loader


class RandomColours:
    """Lays the colours of a random training image over the lightness, "Random" of arXiv:1603.08511.

    Which image, the seed and the lightness decide, so that an image has its colours in any batch. They are
    given at the training images' size, for the same frame: stretched over an image of another shape.
    Training images without colour are left out.

    Args:
        images: at most so many training images are drawn from, evenly spaced.
    """

    def __init__(self, images: int = 2000) -> None:
        if images < 1:
            raise ValueError(f"RandomColours.images starts at 1, got {images}")
        self._images = images
        self._pixels: Tensor | None = None
        self._seed = 0

    def fit(self, loader: Loader, seed: int) -> None:
        """Keep training images.

        Raises:
            ValueError: no training image has colour.
        """
        self._pixels, self._seed = keep("RandomColours", loader, self._images).pixels, seed

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads no hints. At the training images' size.

        Raises:
            ValueError: nothing was fitted yet.
        """
        images = one_by_one("RandomColours", lightness, hints)
        if self._pixels is None:
            raise ValueError("RandomColours: fit to training images first")
        drawn = [int(drawn_from(image.lightness, self._seed).integers(len(self._pixels))) for image in images]
        return rgb_to_lab(self._pixels[drawn].float() / 255)[:, 1:].to(lightness.device)
