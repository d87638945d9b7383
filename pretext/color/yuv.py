"""Brightness and colour differences of analogue television (ITU-R BT.470, BT.601's weights), both ways."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in Y."""

U_SCALE, V_SCALE = 0.492, 0.877
"""U = 0.492 (B − Y), V = 0.877 (R − Y)."""

U_MAX, V_MAX = 0.436, 0.615
"""Largest |U| and |V| of colours in [0, 1], rounded up."""


def rgb_to_yuv(rgb: Tensor) -> Tensor:
    """Y in [0, 1], |U| ≤ 0.436, |V| ≤ 0.615 of RGB in [0, 1]: (B, 3, H, W) both."""
    red, green, blue = rgb.unbind(1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return torch.stack([luma, U_SCALE * (blue - luma), V_SCALE * (red - luma)], dim=1)


def yuv_to_rgb(yuv: Tensor) -> Tensor:
    """RGB of YUV, colours outside the gamut cut to [0, 1]: (B, 3, H, W) both."""
    luma, u, v = yuv.unbind(1)
    red, blue = luma + v / V_SCALE, luma + u / U_SCALE
    green = (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return torch.stack([red, green, blue], dim=1).clamp(0, 1)
