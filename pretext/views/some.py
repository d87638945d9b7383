"""Changing some images of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def change_some(pixels: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return a copy in which the chosen images are changed; no other is computed.

    Args:
        pixels: (B, C, H, W).
        chosen: (B,) bool, on the CPU.
        change: takes images (n, C, H, W) and which of the batch they are, (n,) int64 on the CPU.
    """
    which = torch.nonzero(chosen)[:, 0]
    if not len(which):
        return pixels.clone()
    if len(which) == len(pixels):
        return change(pixels, which)
    places = beside(which, pixels)
    return pixels.index_copy(0, places, change(pixels[places], which))


def beside(values: Tensor, pixels: Tensor) -> Tensor:
    """Numbers from the CPU where the pixels are, without waiting for what the device has still to do."""
    return values.to(pixels.device, non_blocking=True)


def column(values: Tensor, pixels: Tensor) -> Tensor:
    """One number an image, (B,), as (B, 1, 1, 1) where the pixels are."""
    return beside(values.to(pixels.dtype), pixels).view(-1, 1, 1, 1)
