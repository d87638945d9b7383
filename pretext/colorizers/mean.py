"""The yardstick of one colour for everything: the training set's mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pretext.color import has_color, rgb_to_lab
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import one_by_one
from pretext.task import Loader


class Mean:
    """Gives every pixel of every image the mean a and mean b of the training images' pixels.

    Of all constant colours it is the one of least squared error on the training set. Training images without
    colour are left out, all pixels of the others count alike. It says nothing of the image at hand: the mean
    of the image's own colours would be an oracle.

    Args:
        images: at most so many training images are seen, evenly spaced.
    """

    def __init__(self, images: int = 2000) -> None:
        if images < 1:
            raise ValueError(f"Mean.images starts at 1, got {images}")
        self._images = images
        self._ab: Tensor | None = None

    def fit(self, loader: Loader, seed: int) -> None:
        """Take the mean; `seed` decides nothing.

        Raises:
            ValueError: no training image has colour.
        """
        total, pixels = torch.zeros(2, dtype=torch.float64), 0
        for images in loader.evenly_spaced(self._images):
            ab = rgb_to_lab(images.pixels.cpu())[:, 1:]
            ab = ab[has_color(ab)]  # (b, 2, H, W)
            total += ab.sum((0, 2, 3), dtype=torch.float64)
            pixels += ab[:, 0].numel()
        if not pixels:
            raise ValueError("Mean: no training image has colour")
        self._ab = total / pixels

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads no hints.

        Raises:
            ValueError: nothing was fitted yet.
        """
        images = list(one_by_one("Mean", lightness, hints))
        if self._ab is None:
            raise ValueError("Mean: fit to training images first")
        ab = self._ab.float().to(lightness.device)
        return ab.view(1, 2, 1, 1).repeat(len(images), 1, *lightness.shape[2:])
