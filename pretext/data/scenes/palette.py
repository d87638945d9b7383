"""The colours of `scenes`: eight modes, who owns which, and Lab to 8-bit RGB that keeps L.

A class owns two modes: one that goes with its shape, one that goes with its texture. Which of the two an
object wears is a coin's toss, so that colour is certain in distribution and uncertain in value, and its
distribution takes both shape and texture to tell.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pretext.data.scenes.shapes import SHAPES
from pretext.data.scenes.textures import TEXTURES

Array = NDArray[np.float32]

MODES = np.array(
    [(20, 42), (62, 48), (100, 50), (140, 48), (182, 29), (242, 28), (285, 42), (328, 48)], dtype=np.float32
)
"""(8, 2): hue in degrees and chroma, in CIE Lab, where `chroma_scale` is 1."""

_CLASS_PARTS = [(s, t) for s in range(len(SHAPES)) for t in range(len(TEXTURES)) if s != t]
CLASSES: tuple[str, ...] = tuple(f"{list(TEXTURES)[t]}_{list(SHAPES)[s]}" for s, t in _CLASS_PARTS)
"""Every shape in three of the four textures, every texture on three of the four shapes."""
GROUNDS: tuple[str, ...] = ("clouds", "planks", "ripples", "gravel")

CLASS_MODES = np.array([(2 * s, 2 * t + 1) for s, t in _CLASS_PARTS])
"""(12, 2): the modes of a class: its shape's, then its texture's; equally likely. Each serves three."""
GROUND_MODES = np.array([(0, 4), (1, 5), (2, 6), (3, 7)])
"""(4, 2): the modes of a ground, equally likely. Each serves one."""

HUE_SPREAD = 4.0
"""Largest deviation of an object's hue from its mode, degrees."""
CHROMA_SPREAD = 0.1
"""Largest loss of an object's chroma against its mode, as a share."""
LIGHTNESS_RANGE = (8.0, 92.0)
"""All of `scenes` lies within; so does every mode, in gamut (a test walks through them)."""

# D65, 2 degrees; the sRGB matrix of IEC 61966-2-1 as scikit-image has it.
_WHITE = (0.95047, 1.0, 1.08883)
_TO_RGB = np.linalg.inv(
    np.array([(0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227)])
)
_LUMINANCE = (0.212671, 0.715160, 0.072169)


def chroma_scale(lightness: Array) -> Array:
    """Share of its chroma that a mode shows at an L in [0, 100]: 1 at middle lightness, less at both ends.

    It follows the gamut, and is the same for every mode: chroma says nothing that L does not.
    """
    dark, bright = (
        lightness * np.float32(1 / 55),
        np.float32(1) - (lightness - np.float32(70)) * np.float32(0.8 / 22),
    )
    scale: Array = np.clip(np.minimum(dark, bright), 0, 1)
    return scale


def mode_ab(mode: int, hue_draw: float, chroma_draw: float) -> Array:
    """Colour (a, b) of one object: its mode, moved within the spreads by two draws in [0, 1)."""
    hue, chroma = MODES[mode]
    angle = math.radians(hue + HUE_SPREAD * (2 * hue_draw - 1))
    radius = chroma * (1 - CHROMA_SPREAD * chroma_draw)
    return np.array([radius * math.cos(angle), radius * math.sin(angle)], dtype=np.float32)


def _decode(code: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(code > 0.04045, ((code + 0.055) / 1.055) ** 2.4, code / 12.92)


_LINEAR = _decode(np.arange(256) / 255).astype(np.float32)  # (256,) linear light of every 8-bit level


def _nearest_level(linear: Array) -> NDArray[np.uint8]:
    linear = np.clip(linear, 0, 1)
    code = np.where(
        linear > np.float32(0.0031308),
        np.float32(1.055) * linear ** np.float32(1 / 2.4) - np.float32(0.055),
        np.float32(12.92) * linear,
    )
    return np.rint(code * np.float32(255)).astype(np.uint8)


def _unfold(f: Array) -> Array:
    """Inverse of Lab's compressive function: the cube, and a line near black."""
    line = (f - np.float32(4 / 29)) * np.float32(3 * (6 / 29) ** 2)
    return np.where(f > np.float32(6 / 29), f * f * f, line)


def linear_rgb(lightness: Array, ab: Array) -> tuple[Array, Array, Array]:
    """Linear-light R, G, B of L (...) in [0, 100] and ab (..., 2), unclipped."""
    f_y = (lightness + np.float32(16)) * np.float32(1 / 116)
    roots = (f_y + ab[..., 0] * np.float32(1 / 500), f_y, f_y - ab[..., 1] * np.float32(1 / 200))
    x, y, z = (_unfold(f) * np.float32(white) for f, white in zip(roots, _WHITE, strict=True))
    red, green, blue = (np.float32(r) * x + np.float32(g) * y + np.float32(b) * z for r, g, b in _TO_RGB)
    return red, green, blue


def lab_to_rgb8(lightness: Array, ab: Array) -> NDArray[np.uint8]:
    """8-bit sRGB (..., 3) of L (...) and ab (..., 2) in gamut, rounded so that L survives.

    Rounding each channel by itself moves L by up to 0.2, differently for each hue: a trace of the colour in
    the L that a network sees. Here red makes up for green's rounding, and blue for what is left.
    """
    red, green, blue = linear_rgb(lightness, ab)
    w_r, w_g, w_b = (np.float32(w) for w in _LUMINANCE)
    green8 = _nearest_level(green)
    owed = (green - _LINEAR[green8]) * w_g
    red8 = _nearest_level(red + owed / w_r)
    owed = owed + (red - _LINEAR[red8]) * w_r
    blue8 = _nearest_level(blue + owed / w_b)
    return np.stack([red8, green8, blue8], axis=-1)
