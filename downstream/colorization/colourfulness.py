"""Colourfulness of pictures, as published and as recent papers print it (Hasler & Süsstrunk 2003)."""

from __future__ import annotations

import torch
from torch import Tensor


def colourfulness(rgb: Tensor) -> Tensor:
    """M̂⁽³⁾ = √(σ²rg + σ²yb) + 0.3 √(μ²rg + μ²yb), rg = R − G and yb = (R + G) / 2 − B, in levels of 8 bits.

    The anchors of doi:10.1117/12.477378: not colourful 0, slightly 15, moderately 33, averagely 45, quite 59,
    highly 82, extremely 109.

    Args:
        rgb: (B, 3, H, W) in [0, 1].

    Returns: (B,) float64.
    """
    return _of(*_opponents(rgb))


def colourfulness_of_magnitudes(rgb: Tensor) -> Tensor:
    """The same of |rg| and |yb|: what DDColor, ColorFormer and CT² print under the same name.

    Signs gone, two opposite colours spread no further than one: half red and half green has 85.5 here, 293 by
    the publication.

    Args:
        rgb: (B, 3, H, W) in [0, 1].

    Returns: (B,) float64.
    """
    return _of(*(values.abs() for values in _opponents(rgb)))


def _opponents(rgb: Tensor) -> tuple[Tensor, Tensor]:
    if rgb.dim() != 4 or rgb.shape[1] != 3:
        raise ValueError(f"colourfulness is of (B, 3, H, W) pictures; got {tuple(rgb.shape)}")
    red, green, blue = (255 * rgb.double()).flatten(2).unbind(1)  # (B, HW) each
    return red - green, (red + green) / 2 - blue


def _of(red_green: Tensor, yellow_blue: Tensor) -> Tensor:
    both = torch.stack([red_green, yellow_blue], 1)  # (B, 2, HW)
    spread = both.var(2, correction=0).sum(1).sqrt()
    return spread + 0.3 * both.mean(2).square().sum(1).sqrt()
