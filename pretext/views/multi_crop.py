"""Several random crops of each image (Caron et al. 2020, arXiv:2006.09882)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pretext.views.crop import random_resized_crop
from pretext.views.resample import BILINEAR, Kernel


@dataclass(frozen=True)
class Crops:
    """Crops of one kind.

    count: of each image. size: of their square, in pixels. scale: least and largest area, as a share of the
    image's.
    """

    count: int
    size: int
    scale: tuple[float, float]


def multi_crop(
    pixels: Tensor,
    kinds: Sequence[Crops],
    generator: torch.Generator,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    p: float = 0.5,
    kernel: Kernel = BILINEAR,
) -> list[Tensor]:
    """Cut crops of several kinds out of each image, mirrored with probability `p`; every crop has its draws.

    Returns: for each kind (count, B, C, size, size); `flatten(0, 1)` makes a batch of them.
    """
    return [
        torch.stack(
            [
                random_resized_crop(pixels, kind.size, generator, kind.scale, ratio, p, kernel)
                for _ in range(kind.count)
            ]
        )
        if kind.count
        else pixels.new_empty(0, *pixels.shape[:2], kind.size, kind.size)
        for kind in kinds
    ]
