"""The patterns of `scenes`: two-toned textures for objects, soft ones for grounds.

An object's texture is +1 on one half of the plane and -1 on the other, whatever its name, so that no
histogram of lightness tells two of them apart. Edges are blurred over one pixel and never alias.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Texture = Callable[[Array, Array, float, float, Array], Array]


def _signed_edge(u: Array) -> Array:
    """Distance to the nearest change of tone of a wave of period 1, positive on the light half."""
    distance: Array = np.float32(0.25) - np.abs(u - np.floor(u) - np.float32(0.5))
    return distance


def _tone(distance: Array, scale: float) -> Array:
    tone: Array = np.clip(distance * np.float32(scale), -1, 1)
    return tone


def striped(x: Array, y: Array, period: float, pixel: float, draws: Array) -> Array:
    """Parallel bars, as wide as the gaps between them."""
    return _tone(_signed_edge(x / np.float32(period) + draws[0]), 2 * period / pixel)


def banded(x: Array, y: Array, period: float, pixel: float, draws: Array) -> Array:
    """Bars at right angles to those of `striped`."""
    return striped(y, x, period, pixel, draws)


def checked(x: Array, y: Array, period: float, pixel: float, draws: Array) -> Array:
    """Checkerboard; its cells are half a period wide."""
    u, v = _signed_edge(x / np.float32(period) + draws[0]), _signed_edge(y / np.float32(period) + draws[1])
    return _tone(np.minimum(np.abs(u), np.abs(v)) * np.sign(u * v), 2 * period / pixel)


def mottled(x: Array, y: Array, period: float, pixel: float, draws: Array) -> Array:
    """Blotches of no direction: the sign of a sum of plane waves of one wavelength, evenly spread."""
    waves = len(draws)
    field = np.zeros_like(x)
    for wave, phase in enumerate(draws):
        angle = math.pi * wave / waves
        k_x, k_y = 2 * math.pi / period * math.cos(angle), 2 * math.pi / period * math.sin(angle)
        field += np.cos(x * np.float32(k_x) + y * np.float32(k_y) + np.float32(2 * math.pi) * phase)
    steepness = 2 * math.pi / period * math.sqrt(waves / 2)  # rms gradient turns the field into a distance
    return _tone(field, 2 / (pixel * steepness))


TEXTURES: dict[str, Texture] = {
    "striped": striped,
    "checked": checked,
    "mottled": mottled,
    "banded": banded,
}
"""Name → tone in [-1, 1] at (x, y), with the period and the pixel's side in the units of x and y.

The last argument holds TEXTURE_DRAWS numbers in [0, 1) that place the pattern.
"""
TEXTURE_DRAWS = 6


@lru_cache(maxsize=64)
def _spline_taps(size: int, cells: int) -> tuple[NDArray[np.intp], Array]:
    """Knots and weights of a cubic B-spline with `cells` cells across `size` pixels: (4, size) each."""
    position = (np.arange(size) + 0.5) * cells / size
    first = np.floor(position).astype(np.intp)
    t = position - first
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3],
    )
    return first + np.arange(4)[:, None], (weights / 6).astype(np.float32)


def smooth_noise(knots: Array, size: int) -> Array:
    """Value noise of about unit variance, (size, size), from uniform knots in [0, 1), (cells + 3, cells + 3).

    Knots live in the scene, not on the pixel grid: every size shows the same noise.
    """
    taps, weights = _spline_taps(size, knots.shape[0] - 3)
    rows = sum(knots[taps[k]] * weights[k, :, None] for k in range(4))  # (size, cells + 3)
    noise = sum(rows[:, taps[k]] * weights[k] for k in range(4))  # (size, size)
    # Uniform knots deviate by 12 ** -0.5; the spline keeps about 0.48 of the variance in each direction.
    return np.asarray((noise - np.float32(0.5)) * np.float32(math.sqrt(12) / 0.48), dtype=np.float32)
