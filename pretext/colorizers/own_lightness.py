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

_HALVINGS = 48


def ab_at(light: Floats, rgb_of: Callable[[Floats], Floats], low: float, high: float) -> Floats:
    """The ab (2, H, W) of the colours that have L `light` (H, W) in [0, 100].

    What lies outside RGB's cube is brought to it channel by channel, as in every picture that is shown.

    Args:
        rgb_of: sRGB (H, W, 3) of a brightness (H, W), not clipped, whose L rises with it.
        low, high: brightnesses between which each pixel's lies.
    """
    below, above = np.full_like(light, low), np.full_like(light, high)
    wanted = torch.from_numpy(light)
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        darker = (lightness(_batched(rgb_of(middle)))[0, 0] < wanted).numpy()
        below, above = np.where(darker, middle, below), np.where(darker, above, middle)
    shown = rgb_of((below + above) / 2).clip(0, 1)
    return np.asarray(rgb_to_lab(_batched(shown))[0, 1:].numpy())


def _batched(rgb: Floats) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None]  # (1, 3, H, W)
