"""Random erasing (arXiv:1708.04896), batched on the device of the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TRIES = 10
"""Draws of a rectangle before an image is left as it is."""


@dataclass(frozen=True)
class RandomErasing:
    """Fill a rectangle of some images with noise, uniform in [0, 1] for each pixel and channel.

    Area is uniform in `scale` of the image's, the logarithm of height/width in that of `ratio`.

    Args:
        probability: of an image, in [0, 1].
        scale: least and largest part of the area, in (0, 1).
        ratio: least and largest height/width.

    Raises:
        ValueError: a value out of range.
    """

    probability: float = 0.25
    scale: tuple[float, float] = (0.02, 0.3333333333333333)
    ratio: tuple[float, float] = (0.3, 3.3)

    def __post_init__(self) -> None:
        # Lists and integers come from configuration files.
        for name in ("scale", "ratio"):
            pair = tuple(float(end) for end in getattr(self, name))
            object.__setattr__(self, name, pair)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise ValueError(f"RandomErasing: {name} must be two positive numbers in order, got {pair}")
        if self.scale[1] >= 1:
            raise ValueError(f"RandomErasing: scale must end below 1, got {self.scale}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"RandomErasing: probability must be in [0, 1], got {self.probability}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Erase parts of images (B, 3, H, W); draws rectangles from a CPU generator."""
        count, _, height, width = images.shape
        draw = torch.rand(5, count, TRIES, generator=generator, dtype=torch.float64)
        area = height * width * (self.scale[0] + draw[0] * (self.scale[1] - self.scale[0]))
        low, high = torch.tensor(self.ratio, dtype=torch.float64).log()
        aspect = (low + draw[1] * (high - low)).exp()
        h, w = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()  # (B, TRIES)
        fits = (h >= 1) & (w >= 1) & (h < height) & (w < width)
        first = fits.int().argmax(1, keepdim=True)  # the first draw that fits
        h, w = h.gather(1, first)[:, 0], w.gather(1, first)[:, 0]
        erased = fits.any(1) & (draw[4, :, 0] < self.probability)
        rows = _span(draw[2, :, 0], h, height)
        columns = _span(draw[3, :, 0], w, width)
        inside = rows[:, :, None] & columns[:, None] & erased[:, None, None]  # (B, H, W)
        seed = int(torch.randint(2**31, (), generator=generator))
        noise = torch.rand(
            images.shape, device=images.device, generator=torch.Generator(images.device).manual_seed(seed)
        )
        return torch.where(inside[:, None].to(images.device), noise.to(images.dtype), images)


def _span(draw: Tensor, length: Tensor, extent: int) -> Tensor:
    """Places (B, extent) in a run of `length` (B,) at a uniform start."""
    start = (draw * (extent - length + 1)).floor()
    place = torch.arange(extent)
    return (place >= start[:, None]) & (place < (start + length)[:, None])
