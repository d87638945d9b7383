"""Resampling of rows and columns by two matrix products a batch: out = down · image · acrossᵀ."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Kernel(NamedTuple):
    """An interpolation of pixels.

    radius: where it ends, in pixels. weigh: weights of distances ≥ 0, zero from the radius on.
    overshoots: whether results can leave the range of the pixels.
    """

    radius: float
    weigh: Callable[[Tensor], Tensor]
    overshoots: bool


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp_(min=0)


def _cubic(distance: Tensor) -> Tensor:
    # Keys 1981 with a = −1/2, as PIL has it, and PyTorch where it antialiases. Each part ends at 0, so that
    # a distance beyond it can be cut to its end: on CPUs several times as fast as `where`.
    near, far = distance.clamp(max=1), distance.clamp(1, 2)
    inner = (1.5 * near - 2.5).mul_(near.square()).add_(1)
    return inner.add_((2.5 - 0.5 * far).mul_(far).sub_(4).mul_(far).add_(2))


BILINEAR = Kernel(1, _triangle, overshoots=False)
BICUBIC = Kernel(2, _cubic, overshoots=True)


def resizing(
    start: Tensor, length: Tensor, extent: int, size: int, mirrored: Tensor, kernel: Kernel
) -> Tensor:
    """Rows (B, size, extent) that resize [start, start + length) to `size` points, antialiased.

    As in PyTorch and PIL: the kernel is widened by the factor of reduction, cut off at the rectangle's edge
    and normalised.

    Args:
        start, length: (B,) int64, pixels inside `extent`.
        extent: of the images, in pixels.
        size: points that come out.
        mirrored: (B,) bool, whether they come out in reverse.
        kernel: of the interpolation.
    """
    device = start.device
    step = (length / size)[:, None]  # (B, 1)
    points = torch.arange(size, device=device)
    order = torch.where(mirrored[:, None], size - 1 - points, points)  # (B, S)
    centre = start[:, None] + step * (order + 0.5)  # (B, S)
    pixel = torch.arange(extent, device=device)
    inside = (pixel >= start[:, None]) & (pixel < (start + length)[:, None])  # (B, E)
    distance = (pixel + 0.5 - centre[..., None]).abs_().div_(step.clamp(min=1)[..., None])  # (B, S, E)
    weights = kernel.weigh(distance).mul_(inside[:, None])
    return weights.div_(weights.sum(-1, keepdim=True))


def separable(pixels: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Mix the rows and the columns of each image.

    Args:
        pixels: (B, C, H, W).
        down: (B, S, H) weights of the rows.
        across: (B, T, W) weights of the columns.

    Returns: (B, C, S, T).
    """
    count, channels, height, width = pixels.shape
    with torch.autocast(pixels.device.type, enabled=False):  # half precision would quantise the image
        narrow = torch.bmm(pixels.reshape(count, -1, width), across.transpose(1, 2))
        planes = narrow.view(count, channels, height, -1).unbind(1)  # C of (B, H, T)
        return torch.stack([torch.bmm(down, plane) for plane in planes], dim=1)
