"""Two large crops of each image and several small ones, of which each is to say what a large one says."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pretext import views
from pretext.encoder import Encoder


class Crops(NamedTuple):
    """large: (2, B, 3, S, S), small: (V, B, 3, s, s), all in [0, 1]."""

    large: Tensor
    small: Tensor

    def vectors(self, encoder: Encoder) -> Tensor:
        """What an encoder makes of all of them, the large ones first: ((2 + V) · B, D)."""
        return torch.cat([encoder.vector(part.flatten(0, 1)) for part in self if len(part)])

    def shown(self) -> dict[str, Tensor]:
        """Two large views and a small one as pictures."""
        pictures = {"view 1": self.large[0], "view 2": self.large[1]}
        if len(self.small):  # as large as the others, so that they lie in one sheet
            pictures["small view"] = F.interpolate(self.small[0], self.large.shape[-2:])
        return pictures


def cut(
    pixels: Tensor,
    generator: torch.Generator,
    sides: tuple[int | None, int | None],
    small: int,
    areas: tuple[tuple[float, float], tuple[float, float]],
    kernel: views.Kernel = views.BILINEAR,
) -> Crops:
    """Cut them out of images (B, 3, H, W), mirrored or not, with the colours they have.

    Args:
        sides: of large and small ones in pixels; None for the image's shorter side, and for half of it.
        small: how many small ones.
        areas: of large and small ones, least and largest, as a share of the image's.
    """
    shorter = min(pixels.shape[-2:])
    side, small_side = sides[0] or shorter, sides[1] or max(1, shorter // 2)
    wanted = [views.Crops(2, side, areas[0]), views.Crops(small, small_side, areas[1])]
    return Crops(*views.multi_crop(pixels, wanted, generator, kernel=kernel))


def swapped(targets: Tensor, said: Tensor) -> Tensor:
    """Cross-entropy of what is said of each view with the targets of the large ones but itself, in nats.

    Args:
        targets: (2, B, K), shares. said: (2 + V, B, K), logarithms of shares, the large ones first.
    """
    others = said.sum(0) - said[:2]
    return -(targets * others).sum(2).mean() / (len(said) - 1)
