"""Leung and Malik's bank of 48 filters (IJCV 2001, doi:10.1023/A:1011126920638)."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

Floats = NDArray[np.float64]

SIDE = 49
_ORIENTATIONS = 6
_ELONGATED = 3
_WIDTHS = tuple(float(np.sqrt(2) ** power) for power in (1, 2, 3, 4))


@functools.cache
def bank() -> Floats:
    """Filters (48, 49, 49): 18 edges, 18 bars, 8 Laplacians of Gaussians, 4 Gaussians.

    Edges and bars are first and second derivatives across Gaussians three times as long as wide, of widths
    √2, 2 and 2√2 pixels in six orientations. All but the Gaussians have mean 0; absolute values add up to
    1.
    """
    down, right = np.mgrid[:SIDE, :SIDE] - float(SIDE // 2)
    edges, bars = [], []
    for width in _WIDTHS[:3]:
        for turn in range(_ORIENTATIONS):
            angle = np.pi * turn / _ORIENTATIONS
            along, across = (
                right * np.cos(angle) + down * np.sin(angle),
                down * np.cos(angle) - right * np.sin(angle),
            )
            long = np.exp(-(along**2) / (2 * (_ELONGATED * width) ** 2))
            wide = np.exp(-(across**2) / (2 * width**2))
            edges.append(_balanced(-across / width**2 * wide * long))
            bars.append(_balanced((across**2 - width**2) / width**4 * wide * long))
    radius = right**2 + down**2
    gaussians = [np.exp(-radius / (2 * width**2)) for width in _WIDTHS]
    spots = [
        _balanced((radius - 2 * width**2) / width**4 * np.exp(-radius / (2 * width**2)))
        for width in (*_WIDTHS, *(3 * width for width in _WIDTHS))
    ]
    return np.stack([*edges, *bars, *spots, *(one / one.sum() for one in gaussians)])


def _balanced(values: Floats) -> Floats:
    values = values - values.mean()
    return np.asarray(values / np.abs(values).sum())


def responses(gray: Floats) -> Floats:
    """Convolutions (48, H, W) of an image (H, W), mirrored beyond its border."""
    padded = np.pad(gray, SIDE // 2, mode="symmetric")
    return np.asarray(fftconvolve(padded[None], bank(), mode="valid", axes=(1, 2)))
