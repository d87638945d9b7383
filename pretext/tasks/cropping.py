"""The plain augmentation that tasks share: a random square and a mirror image."""

from __future__ import annotations

import torch
from torch import Tensor

from pretext import views


def check_square(task: str, crop: int | None, padding: int) -> None:
    """Refuse what no image can be cut by, when a task is built.

    Raises:
        ValueError: a crop below one pixel, or a negative border.
    """
    if crop is not None and crop < 1:
        raise ValueError(f"{task}.crop is a number of pixels from 1, or None, got {crop}")
    if padding < 0:
        raise ValueError(f"{task}.padding is a number of pixels from 0, got {padding}")


def square(
    pixels: Tensor,
    generator: torch.Generator,
    *,
    size: int | None,
    padding: int,
    augment: bool,
    multiple: int = 1,
) -> Tensor:
    """Cut a square out of each image.

    Args:
        pixels: (B, 3, H, W).
        generator: of all draws.
        size: of the square; None for the shorter side, rounded down to `multiple`.
        padding: mirrored border in which the random square may lie.
        augment: a random place and flip, or the centre as it is.
        multiple: what the square's side must be a multiple of.

    Returns: (B, 3, S, S).

    Raises:
        ValueError: a size that is no multiple, an image smaller than the square, or a border that is not
            smaller than the image it mirrors.
    """
    height, width = pixels.shape[-2:]
    side = min(height, width) // multiple * multiple if size is None else size
    if side < 1 or side % multiple:
        raise ValueError(
            f"the crop must be a positive multiple of {multiple}, got {side} for {height}×{width}"
        )
    if augment and padding >= min(height, width):
        raise ValueError(
            f"padding mirrors less than the image: at most {min(height, width) - 1}, got {padding}"
        )
    if augment:
        return views.random_crop_flip(pixels, side, generator, padding)
    if side > min(height, width):
        raise ValueError(f"cannot cut {side}×{side} out of images of {height}×{width}")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, :, top : top + side, left : left + side]
