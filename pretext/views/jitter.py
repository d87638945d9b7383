"""Colour jitter: brightness, contrast, saturation and hue, in an order of its own for each image.

The four changes are torchvision's: brightness multiplies, contrast is relative to the image's own mean
brightness, hue turns in HSV, and each result is cut to [0, 1] before the next change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pretext.views.gray import luma
from pretext.views.some import beside, change_some, column


def adjust_brightness(pixels: Tensor, factors: Tensor) -> Tensor:
    """Multiply image b by factors[b] ≥ 0."""
    return (pixels * column(factors, pixels)).clamp_(0, 1)


def adjust_contrast(pixels: Tensor, factors: Tensor) -> Tensor:
    """Multiply by factors[b] ≥ 0 how far image b is from its mean brightness."""
    return _away(pixels, luma(pixels).mean(dim=(1, 2, 3), keepdim=True), factors)


def adjust_saturation(pixels: Tensor, factors: Tensor) -> Tensor:
    """Multiply by factors[b] ≥ 0 how far each pixel of image b is from gray."""
    return _away(pixels, luma(pixels), factors)


def adjust_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """Turn the hues of image b by turns[b] of a circle; value and saturation (HSV) stay."""
    red, green, blue = pixels.unbind(1)
    highest, chroma = pixels.amax(dim=1), pixels.amax(dim=1) - pixels.amin(dim=1)  # (B, H, W)
    # Masks by 0 and 1 in `lerp` are exact, and on CPUs several times as fast as `where`.
    hue = (red - green).add_(chroma, alpha=4)  # in sixths of a circle, times chroma; where blue is highest
    hue.lerp_((blue - red).add_(chroma, alpha=2), (green == highest).to(hue.dtype))
    hue.lerp_(green - blue, (red == highest).to(hue.dtype))
    # Gray has no hue; whatever stands for it is multiplied by a chroma of 0.
    hue.div_(chroma.clamp(min=torch.finfo(hue.dtype).tiny)).div_(6)
    hue.add_(column(turns - turns.floor(), pixels)[:, 0])  # (−1/6, 11/6)
    # A channel is highest − chroma · min(k, 4 − k) cut to [0, 1], where k = (n + 6 hue) mod 6; n = 5, 3, 1.
    turned = torch.empty_like(pixels)
    for channel, n in enumerate((5, 3, 1)):
        share = (hue + n / 6).frac_()  # k/6: the sum is not negative
        share.sub_(1 / 3).abs_().mul_(-6).add_(2).clamp_(0, 1)  # min(k, 4 − k) is 2 − |k − 2|
        torch.addcmul(highest, chroma, share, value=-1, out=turned[:, channel])
    return turned


CHANGES = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)


def color_jitter(
    pixels: Tensor,
    generator: torch.Generator,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    p: float = 0.8,
) -> Tensor:
    """Change the colours of each image with probability `p`.

    Args:
        pixels: (B, 3, H, W) in [0, 1].
        generator: of all draws.
        brightness, contrast, saturation: the factor is uniform in [max(0, 1 − x), 1 + x].
        hue: the turn is uniform in [−hue, hue], of a circle; at most ½.
        p: that an image is changed at all.

    Each image has its own factors and its own order of the changes. A change of size 0 is left out.
    """
    sizes = (brightness, contrast, saturation, hue)
    chosen, amounts, orders = _draw(len(pixels), generator, sizes, p)

    def change(images: Tensor, which: Tensor) -> Tensor:
        return _in_order(images, amounts[:, which], orders[:, which], sizes)

    return change_some(pixels, chosen, change)


def _draw(
    count: int, generator: torch.Generator, sizes: tuple[float, ...], p: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Which images change, (B,) bool; by how much, (4, B); and which change comes when, (4, B) int64."""
    draw = torch.rand(9, count, generator=generator)
    *factors, hue = sizes
    lows = torch.tensor([*(max(0.0, 1 - size) for size in factors), -hue])[:, None]
    highs = torch.tensor([*(1 + size for size in factors), hue])[:, None]
    return draw[8] < p, lows + draw[:4] * (highs - lows), draw[4:8].argsort(dim=0)


def _in_order(pixels: Tensor, amounts: Tensor, orders: Tensor, sizes: tuple[float, ...]) -> Tensor:
    jittered = pixels.clone()
    for now in orders:  # (B,)
        for i, change in enumerate(CHANGES):
            which = torch.nonzero(now == i)[:, 0]
            if sizes[i] and len(which):
                places = beside(which, pixels)
                jittered[places] = change(jittered[places], amounts[i, which])
    return jittered


def _away(pixels: Tensor, origin: Tensor, factors: Tensor) -> Tensor:
    factors = column(factors, pixels)
    return (pixels * factors).add_(origin * (1 - factors)).clamp_(0, 1)
