"""Light, in proportion to photons, of sRGB values and of CIE's L: what illumination multiplies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LUMINANCE = np.array([0.212671, 0.715160, 0.072169])
"""Weights of linear R, G and B in Y, to the digits of `pretext.color.lab`."""


def from_srgb(srgb: Floats) -> Floats:
    """Linear light of sRGB (IEC 61966-2-1), any shape, [0, 1] both."""
    return np.where(srgb > 0.04045, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4, srgb / 12.92)


def to_srgb(linear: Floats) -> Floats:
    """The inverse, which goes on above 1 and, straight, below 0."""
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, curve, linear * 12.92)


def luminance_of(light: Floats) -> Floats:
    """Y in [0, 1] of L in [0, 100] (CIE 15), any shape."""
    compressed = (light + 16) / 116
    return np.where(compressed > 6 / 29, compressed**3, 3 * (6 / 29) ** 2 * (compressed - 4 / 29))
