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


def whole_patches(
    pixels: Tensor,
    generator: torch.Generator,
    patch: int,
    crop: int | None,
    area: float,
    *,
    augment: bool,
    p: float = 0.0,
) -> Tensor:
    """Cut a square of whole patches out of each image, by a cubic kernel.

    Args:
        pixels: (B, 3, H, W).
        crop: its side; None for the most patches that the shorter side holds.
        area: least share of an image that a random rectangle has.
        augment: a random rectangle, resized and mirrored with probability `p`; else the central square.

    Raises:
        ValueError: an image smaller than a patch.
    """
    shorter = min(pixels.shape[-2:])
    size = crop or shorter // patch * patch
    if not size:
        raise ValueError(f"images of {pixels.shape[-2]}×{pixels.shape[-1]} hold no patch of {patch} pixels")
    if augment:
        scale = (area, 1.0)
        return views.random_resized_crop(pixels, size, generator, scale=scale, p=p, kernel=views.BICUBIC)
    top, left = ((side - shorter) // 2 for side in pixels.shape[-2:])
    box = torch.tensor([[top, left, shorter, shorter]]).expand(len(pixels), -1)
    return views.crop_resize(pixels, box, size, kernel=views.BICUBIC)
