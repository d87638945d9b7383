"""Deriving intrinsic images from image sequences: what stays when the light moves (Weiss 2001)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST = 3
"""Pictures: of two the median is their mean, and every shadow stays."""
DARKEST = 1e-4
"""Least light whose logarithm is taken, a third of the first step of 8-bit sRGB."""
LIT = 90
"""Percentile of a picture's illumination that counts as fully lit."""


class Reflectance(NamedTuple):
    """What pictures of one scene have in common.

    light: (H, W, 3) > 0, linear, as it is where fully lit; agreed: (H, W), where the pictures say the same.
    """

    light: Floats
    agreed: Bools


def reflectance(pictures: Floats, seen: Bools, tolerance: float) -> Reflectance:
    """Reflectance of a scene from pictures of it under several lights.

    For each channel the derivatives of the logarithm are the medians over the pictures: a shadow's edge is an
    outlier. They are integrated by least squares. What integration leaves open, one constant a channel, is
    the tint: it is set so that in the median picture the illumination's 90th percentile is 1. A mean over all
    pixels would give the scene the average tint of the pictures' shadows.

    Args:
        pictures: (K, H, W, 3) linear light, registered.
        seen: (K, H, W), the pixels that each shows.
        tolerance: median absolute deviation of derivatives, natural logarithm, up to which pictures agree.

    Raises:
        ValueError: fewer than 3 pictures, or shapes that do not fit.
    """
    if len(pictures) < LEAST:
        raise ValueError(f"reflectance needs {LEAST} pictures or more, got {len(pictures)}")
    if pictures.shape != (*seen.shape, 3):
        raise ValueError(
            f"pictures must be (K, H, W, 3) and seen (K, H, W); got {pictures.shape}, {seen.shape}"
        )
    logs = np.log(np.maximum(pictures, DARKEST))
    down, rows = _common(np.diff(logs, axis=1), seen[:, 1:] & seen[:, :-1], tolerance)
    across, columns = _common(np.diff(logs, axis=2), seen[:, :, 1:] & seen[:, :, :-1], tolerance)
    integrated = np.stack([integrate(down[..., c], across[..., c]) for c in range(3)], -1)
    lit = [
        np.percentile((log - integrated)[there], LIT, axis=0)
        for log, there in zip(logs, seen, strict=True)
        if there.any()
    ]
    agreed = (seen.sum(0) >= LEAST) & _both_sides(rows, 0) & _both_sides(columns, 1)
    return Reflectance(np.exp(integrated + np.median(lit, axis=0)), agreed)


def _common(derivatives: Floats, seen: Bools, tolerance: float) -> tuple[Floats, Bools]:
    """Medians (h, w, 3) over the pictures that see both pixels, and where enough of them agree (h, w)."""
    shown = np.ma.masked_array(derivatives, np.broadcast_to(~seen[..., None], derivatives.shape))
    middle = np.ma.median(shown, axis=0).filled(0)
    deviation = np.ma.median(abs(shown - middle), axis=0).filled(np.inf)
    return middle, (deviation <= tolerance).all(-1) & (seen.sum(0) >= LEAST)


def _both_sides(between: Bools, axis: int) -> Bools:
    """Whether a pixel agrees with its neighbours on both sides, of what lies between neighbours."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (1, 1)
    framed = np.pad(between, pad, constant_values=True)
    return np.asarray(
        framed.take(range(1, framed.shape[axis]), axis) & framed.take(range(framed.shape[axis] - 1), axis)
    )


def integrate(down: Floats, across: Floats) -> Floats:
    """The values of mean 0 whose differences come nearest to these, in the sense of least squares.

    Args:
        down: (H − 1, W), from each row to the next. across: (H, W − 1), from each column to the next.

    Returns:
        (H, W). The cosine transform solves the Poisson equation with free borders exactly.
    """
    height, width = down.shape[0] + 1, across.shape[1] + 1
    divergence = np.zeros((height, width))
    divergence[1:] += down
    divergence[:-1] -= down
    divergence[:, 1:] += across
    divergence[:, :-1] -= across
    of_rows = 2 - 2 * np.cos(np.pi * np.arange(height) / height)
    of_columns = 2 - 2 * np.cos(np.pi * np.arange(width) / width)
    eigenvalues = of_rows[:, None] + of_columns
    eigenvalues[0, 0] = 1
    transformed = dctn(divergence, norm="ortho") / eigenvalues
    transformed[0, 0] = 0
    return np.asarray(idctn(transformed, norm="ortho"))
