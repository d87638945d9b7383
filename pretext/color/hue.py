"""Hue and chroma of RGB as Larsson et al. use them (arXiv:1603.06668), and one of each out of a histogram."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def hue_and_chroma(rgb: Tensor) -> Tensor:
    """The hue of HSV, and how far the largest channel is from the least.

    Args:
        rgb: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 2, H, W): hue in [0, 1), 0 for red and for gray; chroma in [0, 1].
    """
    red, green, blue = rgb.unbind(1)
    highest = rgb.amax(1)
    chroma = highest - rgb.amin(1)  # (B, H, W)
    sixths = torch.where(
        red == highest,
        green - blue,
        torch.where(green == highest, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    hue = sixths / (6 * chroma).clamp(min=torch.finfo(rgb.dtype).tiny)  # [−1/6, 5/6]
    # A hue just below 0 rounds up to 1, which is 0.
    return torch.stack([(hue - hue.floor()) % 1, chroma], dim=1)


def rgb_of_hue(hue_chroma: Tensor, gray: Tensor) -> Tensor:
    """The colour of that hue and chroma whose channels have the mean `gray`, cut to [0, 1].

    Args:
        hue_chroma: (B, 2, H, W). gray: (B, 1, H, W) in [0, 1].

    Returns:
        (B, 3, H, W).
    """
    hue, chroma = hue_chroma[:, :1] * 6, hue_chroma[:, 1:]
    pure = torch.cat([(hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs()], dim=1).clamp(0, 1)
    return (gray + chroma * (pure - pure.mean(1, keepdim=True))).clamp(0, 1)


def mean_direction(shares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of a histogram over a circle.

    Args:
        shares: (…, K), each of sum 1; bin k stands for the angle (k + ½) / K of a turn.

    Returns:
        (…) its direction in [0, 1) turns, and (…) its length in [0, 1], which says how far the shares agree.
    """
    bins = shares.shape[-1]
    angles = (torch.arange(bins, device=shares.device) + 0.5) * (2 * math.pi / bins)
    x, y = (shares * angles.cos()).sum(-1), (shares * angles.sin()).sum(-1)
    turns = torch.atan2(y, x) / (2 * math.pi)
    return (turns - turns.floor()) % 1, torch.hypot(x, y)


def histogram_median(shares: Tensor) -> Tensor:
    """Median of histograms (…, K) of sum 1 over [0, 1], whose mass is spread evenly within a bin: (…)."""
    bins = shares.shape[-1]
    reached = shares.cumsum(-1)
    index = (reached < 0.5).sum(-1, keepdim=True).clamp(max=bins - 1)
    share = shares.gather(-1, index).clamp(min=torch.finfo(shares.dtype).tiny)
    inside = 1 - (reached.gather(-1, index) - 0.5) / share
    return ((index + inside.clamp(0, 1)) / bins)[..., 0]
