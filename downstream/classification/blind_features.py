"""Features that look at no encoder, for protocols that compare images by their features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from downstream.classification.baselines import BATCH, luminance_histogram, rgb_histogram
from pretext.data.dataset import Split

BlindFeatures = Callable[[Split], NDArray[np.float32]]
"""A split → (N, D) features."""


def constant(split: Split) -> NDArray[np.float32]:
    """The same feature for every image: (N, 1)."""
    return np.ones((len(split), 1), dtype=np.float32)


def rgb_shares(split: Split) -> NDArray[np.float32]:
    """Square root of the shares of `rgb_histogram`: (N, 64), of unit length."""
    return _hellinger(split, rgb_histogram)


def luminance_shares(split: Split) -> NDArray[np.float32]:
    """Square root of the shares of `luminance_histogram`: (N, 64), of unit length."""
    return _hellinger(split, luminance_histogram)


BLIND_FEATURES: dict[str, BlindFeatures] = {
    "constant": constant,
    "rgb_histogram": rgb_shares,
    "luminance_histogram": luminance_shares,
}
"""By the name of the predictor that they make."""


def _hellinger(
    split: Split, histogram: Callable[[NDArray[np.uint8]], NDArray[np.int64]]
) -> NDArray[np.float32]:
    """The product of two such rows is their Bhattacharyya coefficient."""
    counts = np.concatenate([histogram(split.pixels[i : i + BATCH]) for i in range(0, len(split), BATCH)])
    return np.asarray(np.sqrt(counts / counts.sum(1, keepdims=True)), dtype=np.float32)
