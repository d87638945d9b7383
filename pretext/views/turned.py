"""Squares that lie anywhere in an image, turned and of any size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pretext.views.some import beside


def turned_square(pixels: Tensor, centres: Tensor, sides: Tensor, angles: Tensor, size: int) -> Tensor:
    """Cut a square out of each image and resize it, bilinearly and without antialiasing.

    Beyond its border an image is continued in its mirror image.

    Args:
        pixels: (B, C, H, W).
        centres: (B, 2) row and column of the square's middle in pixels, from the image's upper left corner.
        sides: (B,) of the square, in pixels.
        angles: (B,) by which what it shows is turned counter-clockwise, in degrees.
        size: of the square that comes out, in pixels.

    Returns: (B, C, size, size).
    """
    height, width = pixels.shape[-2:]
    centres, sides, angles = (beside(x.to(pixels.dtype), pixels) for x in (centres, sides, angles))
    steps = (torch.arange(size, dtype=pixels.dtype, device=pixels.device) + 0.5) / size - 0.5
    along = sides[:, None] * steps  # (B, S)
    cosine, sine = (f(angles.deg2rad()).view(-1, 1, 1) for f in (torch.cos, torch.sin))
    down, right = along[:, :, None], along[:, None]  # (B, S, 1), (B, 1, S)
    row = centres[:, 0].view(-1, 1, 1) + right * sine + down * cosine  # (B, S, S)
    column = centres[:, 1].view(-1, 1, 1) + right * cosine - down * sine
    grid = torch.stack([2 * column / width - 1, 2 * row / height - 1], dim=-1)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
