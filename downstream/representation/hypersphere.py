"""Alignment of positive pairs and uniformity on the hypersphere (arXiv:2005.10242)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

PIECE = 2**22
"""Pairs whose distance is held at once."""

SPREAD = 2.0
"""t of the Gaussian potential, as in the paper's experiments."""


def alignment(features: NDArray[Any], views: NDArray[Any]) -> float:
    """Mean squared distance of the pairs' features on the unit sphere: from 0, the same, to 4, opposite.

    Args:
        features, views: (N, D), row i of an image and of another view of it. Zeros stay zeros.
    """
    first, second = _unit(features), _unit(views)
    return float(np.square(first - second).sum(1).mean())


def uniformity(features: NDArray[Any]) -> float:
    """Log of the mean over pairs of images of exp(−2 · squared distance) on the unit sphere.

    Args:
        features: (N, D), N > 1. Zeros stay zeros.

    Returns:
        From 0, where all features are the same. Below −4 no distribution comes, since the mean of exp is
        at least exp of the mean, and the mean squared distance at most 2.

    Raises:
        ValueError: fewer than two rows.
    """
    unit = _unit(features)
    n = len(unit)
    if n < 2:
        raise ValueError(f"uniformity is of pairs of images; there are {n}")
    squared = np.square(unit).sum(1)
    total = 0.0
    size = max(1, PIECE // n)
    for start in range(0, n, size):
        rows = slice(start, start + size)
        distance = squared[rows, None] + squared - 2 * unit[rows] @ unit.T
        total += float(np.exp(-SPREAD * distance).sum())
    return float(np.log((total - n) / (n * (n - 1))))  # without each image's pair with itself


def _unit(features: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(normalize(np.asarray(features, dtype=np.float64)))
