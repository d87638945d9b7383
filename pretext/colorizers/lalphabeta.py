"""The space lαβ of Ruderman, Cronin & Chiao 1998, as Reinhard et al. 2001 brought it to colour transfer.

l is brightness, α yellow against blue, β red against green, all logarithmic. Gray has α = 7.6e-4 and
β = 9e-5, not 0: the rows of the matrix do not sum to 1. It is taken of sRGB values as they are, as
programs of it do. The way back is the numerical inverse, not the printed one, which is off by up to 0.0072.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_AXES = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
_BACK, _FROM_AXES = np.linalg.inv(_LMS), np.linalg.inv(_AXES)

DARKEST = 1 / 255
"""Least response of a cone, whose logarithm is taken."""


def from_rgb(rgb: Floats) -> Floats:
    """Return lαβ of sRGB, (..., 3) both, RGB in [0, 1]."""
    return np.asarray(np.log10(np.maximum(rgb @ _LMS.T, DARKEST)) @ _AXES.T)


def to_rgb(lalphabeta: Floats) -> Floats:
    """Return sRGB of lαβ, (..., 3) both, not clipped."""
    return np.asarray(10 ** (lalphabeta @ _FROM_AXES.T) @ _BACK.T)
