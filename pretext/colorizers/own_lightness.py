"""The way out of another colour space that leaves an image its own lightness.

Colours found in a space of a brightness and two other numbers are read at the brightness that gives CIE's L
of the image. So a colour that was entered comes out as it was, however the space's brightness goes with L.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from pretext.color import lightness, rgb_to_lab

Floats = NDArray[np.float64]

_NEAR = 1e-9
"""Of L, to which it is met."""
_HALVINGS, _MOST = 4, 60


def ab_at(light: Floats, rgb_of: Callable[[Floats], Floats], low: float, high: float) -> Floats:
    """The ab (2, H, W) of the colours that have L `light` (H, W) in [0, 100].

    What lies outside RGB's cube is brought to it channel by channel, as in every picture that is shown.

    Args:
        rgb_of: sRGB (H, W, 3) of a brightness (H, W), not clipped, whose L rises with it.
        low, high: brightnesses between which each pixel's lies; the nearer one where it does not.
    """

    def above_wanted(level: Floats) -> Floats:
        return np.asarray(lightness(_batched(rgb_of(level)))[0, 0].numpy() - light)

    level = _crossing(above_wanted, np.full_like(light, low), np.full_like(light, high))
    return np.asarray(rgb_to_lab(_batched(rgb_of(level).clip(0, 1)))[0, 1:].numpy())


def _crossing(rising: Callable[[Floats], Floats], below: Floats, above: Floats) -> Floats:
    """Where rising functions, one a pixel, cross 0 between two ends, or the end that is nearer to it.

    A few halvings, then Illinois's regula falsi (doi:10.1007/BF01934364): an end that stays twice has its
    value halved.
    """
    under, over = rising(below), rising(above)
    crosses = (under < 0) & (over > 0)
    below, above = np.where(over > 0, below, above), np.where(under < 0, above, below)
    under, over = np.where(crosses, under, -1), np.where(crosses, over, 1)
    middle, last = below, np.zeros(below.shape)
    for turn in range(_MOST):
        halved = turn < _HALVINGS
        middle = (below + above) / 2 if halved else (below * over - above * under) / (over - under)
        value = rising(middle)
        if not halved and float(np.abs(value[crosses]).max(initial=0)) < _NEAR:
            break
        side = np.where(value < 0, -1, 1)
        again = np.where(side == last, 0.5, 1) if not halved else 1
        under, over = np.where(side < 0, value, under * again), np.where(side < 0, over * again, value)
        below, above = np.where(side < 0, middle, below), np.where(side < 0, above, middle)
        last = side
    return middle


def _batched(rgb: Floats) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None]  # (1, 3, H, W)
