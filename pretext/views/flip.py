"""Mirror images."""

from __future__ import annotations

import torch
from torch import Tensor

from pretext.views.some import beside


def horizontal_flip(pixels: Tensor, generator: torch.Generator, p: float = 0.5) -> Tensor:
    """Mirror each image left to right with probability `p`."""
    flips = torch.rand(len(pixels), generator=generator) < p
    return torch.where(beside(flips, pixels).view(-1, 1, 1, 1), pixels.flip(-1), pixels)
