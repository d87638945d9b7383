"""Classes of texture instead of a scene parser's: k-means of filter energies around a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from pretext.colorizers import leung_malik

Floats = NDArray[np.float64]

_WINDOW = 15
_EACH = 100
_FILTERS = 44
"""Of the bank; its Gaussians see gray again."""


class TextureClasses(NamedTuple):
    """Centres (K, 45) of features divided by `scale` (45,), and the mean squared distance from them."""

    centres: Floats
    scale: Floats
    variance: float

    def posterior(self, gray: Floats) -> Floats:
        """Shares (K, H, W), each pixel's adding up to 1: Gaussians of one variance around the centres."""
        features = _features(gray) / self.scale  # (HW, 45)
        far = cdist(features, self.centres, "sqeuclidean") / (2 * self.variance)  # (HW, K)
        shares = np.exp(far.min(1, keepdims=True) - far)
        return np.asarray((shares / shares.sum(1, keepdims=True)).T.reshape(-1, *gray.shape))


def learned(grays: Sequence[Floats], classes: int, seed: int) -> TextureClasses:
    """As many classes as asked for of the pixels of images (H, W), or as there are distinct ones.

    Gray counts as much as all filters together; none of these is stretched, as some tell next to nothing.
    """
    draw = np.random.default_rng(seed)
    some = [_features(gray)[draw.permutation(gray.size)[:_EACH]] for gray in grays]
    features = np.concatenate(some)
    spread = features.var(0)
    scale = np.sqrt(np.concatenate([spread[:1], np.full(_FILTERS, spread[1:].sum())])).clip(1e-6)
    features = features / scale
    count = min(classes, len(np.unique(features.round(6), axis=0)))
    means = KMeans(count, n_init=4, random_state=seed).fit(features)
    variance = max(float(means.inertia_) / len(features), 1e-3)
    return TextureClasses(means.cluster_centers_, scale, variance)


def _features(gray: Floats) -> Floats:
    """(HW, 45): mean gray, and mean size of what edges, bars and spots respond, over 15×15 pixels."""
    parts = [gray, *np.abs(leung_malik.responses(gray)[:_FILTERS])]
    return np.stack([uniform_filter(part, _WINDOW, mode="reflect").ravel() for part in parts], 1)
