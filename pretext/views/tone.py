"""Changes of colour beyond the jitter's: along given axes, and of saturation and value by a curve."""

from __future__ import annotations

import torch
from torch import Tensor

from pretext.views.some import beside, column


def stretch(pixels: Tensor, mean: Tensor, axes: Tensor, factors: Tensor) -> Tensor:
    """Multiply how far colours are from a mean, along each of three axes, and cut them to [0, 1].

    Args:
        pixels: (B, 3, H, W) in [0, 1].
        mean: (3,), a colour. axes: (3, 3), orthonormal columns.
        factors: (B, 3), of each axis.
    """
    change = torch.einsum("ik,bk,jk->bij", axes, beside(factors.to(pixels.dtype), pixels), axes)
    origin = mean.view(3, 1, 1)
    return torch.einsum("bij,bjhw->bihw", change, pixels - origin).add_(origin).clamp_(0, 1)


def curve(pixels: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Replace saturation and value (HSV) by aˣ · b + c, cut to [0, 1]; hues stay, and so does what is gray.

    Args:
        pixels: (B, 3, H, W) in [0, 1].
        saturation, value: (3, B) exponents x ≥ 0, factors b and terms c.
    """
    highest = pixels.amax(1, keepdim=True)
    chroma = highest - pixels.amin(1, keepdim=True)
    tiny = torch.finfo(pixels.dtype).tiny
    below = (highest - pixels) / chroma.clamp(min=tiny)  # of each channel, in [0, 1]; by hue alone
    new_saturation = _curved(chroma / highest.clamp(min=tiny), saturation)
    return _curved(highest, value) * (1 - new_saturation * below)


def _curved(numbers: Tensor, by: Tensor) -> Tensor:
    exponent, factor, term = (column(each, numbers) for each in by)
    return (numbers**exponent * factor + term).clamp_(0, 1)
