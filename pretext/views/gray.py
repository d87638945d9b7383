"""Images without their colour."""

from __future__ import annotations

import torch
from torch import Tensor

from pretext.views.some import change_some

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue, as torchvision and PIL round those of ITU-R 601."""


def luma(pixels: Tensor) -> Tensor:
    """Brightness (B, 1, H, W) of (B, 3, H, W), without regard to the sRGB curve."""
    red, green, blue = pixels.unbind(1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])[:, None]


def random_gray(pixels: Tensor, generator: torch.Generator, p: float = 0.2) -> Tensor:
    """Take the colour from each image with probability `p`; three equal channels remain."""
    chosen = torch.rand(len(pixels), generator=generator) < p
    return change_some(pixels, chosen, lambda images, _: luma(images).expand(-1, 3, -1, -1))
