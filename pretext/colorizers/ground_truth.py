"""The yardstick of the answer itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import Given, check_picture, one_by_one

NEAR = 0.05
"""In L: how far the lightness of the answer may be from the image's, by rounding."""


class GroundTruth:
    """Gives an image its own colours, "Ground truth" of arXiv:1603.08511: an oracle.

    They come as the first reference, which must be the image itself: of its size and, pixel by pixel, of its
    lightness. Whatever else is given there is refused, so that no other picture passes for the answer.
    """

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads the first reference, with colour or without.

        Raises:
            ValueError: no reference, or one that is not the image in colour.
        """
        found = [_own_colors(image) for image in one_by_one("GroundTruth", lightness, hints)]
        return (
            torch.cat(found).to(lightness.device)
            if found
            else lightness.new_zeros(0, 2, *lightness.shape[2:])
        )


def _own_colors(image: Given) -> Tensor:
    if not image.hints.references:
        raise ValueError(f"{image.where}: needs the image itself in colour, as its first reference; got none")
    truth = image.hints.references[0]
    check_picture(f"{image.where}: its first reference", truth)
    if tuple(truth.shape[1:]) != image.size:
        raise ValueError(
            f"{image.where}: its first reference must be the image itself; "
            f"it has {tuple(truth.shape[1:])} pixels, the image {image.size}"
        )
    lab = rgb_to_lab(truth[None])
    away = float((lab[0, 0].double().cpu() - torch.from_numpy(image.lightness)).abs().max())
    if not away <= NEAR:
        raise ValueError(
            f"{image.where}: its first reference must be the image itself; L differs by up to {away:.3g}"
        )
    return lab[:, 1:].cpu()
