"""SURF's description of every pixel, upright (Bay et al. 2008, doi:10.1016/j.cviu.2007.09.014).

Differences of Haar wavelets, 2 scales wide, are summed over 4×4 squares of 5 scales each around a pixel. Here
the weight of a square is the Gaussian at its centre, of a standard deviation of 3.3 scales, not one a sample;
nothing is detected and nothing is turned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Singles = NDArray[np.float32]

_FAINT = 1e-2
"""Length below which a description fades instead of being stretched to 1: what gray steps of 1/255 make."""


def dense(gray: NDArray[np.floating], scale: int, extended: bool = False) -> Singles:
    """Descriptions of all pixels, mirrored beyond the border, of length 1 or, where all is flat, less.

    Args:
        gray: (H, W) in [0, 1].
        scale: in pixels from 1; a description reaches about ten of them to each side.
        extended: tell differences apart by the sign of the other one.

    Returns: (H, W, 64), or (H, W, 128) extended.

    Raises:
        ValueError: a scale below 1.
    """
    if scale < 1:
        raise ValueError(f"surf.dense takes a scale from 1, got {scale}")
    square = 5 * scale | 1
    offsets = [round(place * scale) for place in (-8, -3, 3, 8)]
    reach = offsets[-1] + scale
    padded = np.pad(gray.astype(np.float64), reach, mode="symmetric")
    sums = np.stack(
        [uniform_filter(part, square, mode="nearest") for part in _parts(padded, scale, extended)], -1
    )
    height, width = gray.shape
    described = []
    for down in offsets:
        for right in offsets:
            there = sums[reach + down :, reach + right :][:height, :width]
            described.append(there * np.exp(-(down**2 + right**2) / (2 * (3.3 * scale) ** 2)))
    whole = np.concatenate(described, -1)
    length = np.sqrt((whole**2).sum(-1, keepdims=True) + _FAINT**2)
    return np.asarray(whole / length, np.float32)


def _parts(gray: NDArray[np.float64], scale: int, extended: bool) -> list[NDArray[np.float64]]:
    """The differences, and their sizes, that are summed: 4 maps (H, W), or 8."""
    box = uniform_filter(gray, 2 * scale - 1, mode="nearest")  # an odd width, so that it is centred
    down, right = (_difference(box, scale, axis) for axis in (0, 1))
    if not extended:
        return [right, np.abs(right), down, np.abs(down)]
    parts = []
    for one, other in ((right, down), (down, right)):
        for side in (other < 0, other >= 0):
            parts += [one * side, np.abs(one) * side]
    return parts


def _difference(box: NDArray[np.float64], scale: int, axis: int) -> NDArray[np.float64]:
    """What lies `scale` ahead less what lies as far behind, 0 where either is outside."""
    moved = np.zeros_like(box)
    inside = [slice(None), slice(None)]
    inside[axis] = slice(scale, -scale)
    ahead, behind = list(inside), list(inside)
    ahead[axis], behind[axis] = slice(2 * scale, None), slice(None, -2 * scale)
    moved[tuple(inside)] = box[tuple(ahead)] - box[tuple(behind)]
    return moved
