"""Colour as differences over gray, of Deshpande, Rock & Forsyth 2015 (doi:10.1109/ICCV.2015.72), both ways.

c1 = (B − ½(R + G)) / (g + 1e-4), c2 = (R − G) / (g + 1e-4), g = ⅓(R + G + B).
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-4


def ratios(rgb: Tensor) -> Tensor:
    """c1 and c2 (B, 2, H, W) of RGB (B, 3, H, W) in [0, 1]: in [-1.5, 3] and [-3, 3]."""
    red, green, blue = rgb.unbind(1)
    gray = rgb.mean(1) + _SMALL
    return torch.stack([blue - (red + green) / 2, red - green], 1) / gray[:, None]


def with_gray(c: Tensor, gray: Tensor) -> Tensor:
    """RGB (B, 3, H, W), not clipped, of c (B, 2, H, W) and g (B, 1, H, W): the exact inverse of `ratios`."""
    one, two = (c * (gray + _SMALL)).unbind(1)
    mean = gray[:, 0]
    return torch.stack([mean - one / 3 + two / 2, mean - one / 3 - two / 2, mean + 2 * one / 3], 1)
