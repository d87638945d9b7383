"""Quarter turns."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate90(pixels: Tensor, k: Tensor) -> Tensor:
    """Turn image b counter-clockwise by k[b] quarter turns; square images, k (B,) of any integers."""
    if pixels.shape[-1] != pixels.shape[-2]:
        raise ValueError(f"quarter turns need square images, not {tuple(pixels.shape[-2:])}")
    if k.shape != (len(pixels),):
        raise ValueError(f"expected one k for each of {len(pixels)} images, not {tuple(k.shape)}")
    turned = torch.empty_like(pixels)
    for turns in range(4):
        chosen = torch.nonzero(k.cpu() % 4 == turns)[:, 0].to(pixels.device)
        turned[chosen] = torch.rot90(pixels[chosen], turns, (-2, -1))
    return turned
