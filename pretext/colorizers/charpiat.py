"""Colours chosen together from a distribution at every pixel (Charpiat, Hofmann & Schölkopf 2008).

"Automatic image colorization via multimodal predictions", ECCV 2008, doi:10.1007/978-3-540-88690-7_10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import cg
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from pretext.colorizers import alpha_expansion, surf
from pretext.colorizers.arrays import Floats, check_sides, coloured, lab_of, shrunk, together
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import one_by_one
from pretext.task import Loader

_SCALES = (1, 2, 3)
_LEAST = 8
"""Pixels that a side must have."""

_FLOOR = 0.01
"""Share of the prior in every distribution: no colour is impossible."""

_SMALLEST = 1.0
"""Units of ab below which no variation is expected to be."""


class Learned(NamedTuple):
    """What pixels of coloured pictures say.

    mean, basis: (192,) and (192, C) of the descriptors. scale: (C + 3,) that divides features. colours: (K,
        2),
    ab of the bins. prior: (K,). samples: (S, C + 3) features, with their bin (S,) and, in ab a pixel, how
    much the colour varies there (S,).
    """

    mean: Floats
    basis: Floats
    scale: Floats
    colours: Floats
    prior: Floats
    samples: Floats
    bin: NDArray[np.int64]
    variation: Floats


class Charpiat:
    """A distribution over colours at every pixel, an expected change of colour, and one cut over the image.

    A pixel is described by SURF at three scales, reduced by PCA, its intensity, and mean and deviation around
    it. Like pixels of training images vote (Parzen windows) for what colour it has, p(c | v), and for
    how much colours vary there, g. The colours f minimise Σ_p −log p(f_p | v_p) + ρ Σ_pq |f_p − f_q| / g_pq
    over the bins by α-expansion, and then over all colours near them.

    Approximated: SURF is upright and dense; bins are the k-means of the colours seen; a window is as wide as
    the median neighbour is far; g_pq is the harmonic mean of both ends; the second minimisation alternates
    between the bins' shares and quadratic bounds. Remembered rather than read: 73 bins, 27 components. Chosen
    here: ρ. Landmarks are not offered.

    Args:
        bins: colours to choose from.
        components: of the descriptors.
        smoothness: ρ, in nats.
        neighbours: like pixels that vote.
        samples: pixels kept of all pictures.
        images: training images looked at.
        side: pixels of the longer side of the copy that is coloured.
        sweeps: of α-expansion, at most.
        steps: of the second minimisation, 0 for none.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        bins: int = 73,
        components: int = 27,
        smoothness: float = 0.1,
        neighbours: int = 200,
        samples: int = 20000,
        images: int = 1000,
        side: int = 128,
        sweeps: int = 2,
        steps: int = 5,
    ) -> None:
        if min(bins, components, neighbours, images, sweeps) < 1 or samples < neighbours or steps < 0:
            raise ValueError(
                "Charpiat takes bins, components, neighbours, images and sweeps from 1, samples from "
                f"neighbours and steps from 0, got {bins}, {components}, {neighbours}, {images}, {sweeps}, "
                f"{samples}, {steps}"
            )
        if components > 192 or side < _LEAST:
            raise ValueError(
                f"Charpiat takes at most 192 components and sides from {_LEAST}, got {components} and {side}"
            )
        if not 0 <= smoothness < np.inf:
            raise ValueError(f"Charpiat.smoothness is a number from 0, got {smoothness}")
        self._bins, self._components, self._smoothness = bins, components, smoothness
        self._neighbours, self._samples, self._images = neighbours, samples, images
        self._side, self._sweeps, self._steps = side, sweeps, steps
        self.learned: Learned | None = None

    def fit(self, loader: Loader, seed: int) -> None:
        """Keep pixels of training images.

        Raises:
            ValueError: no image has colour, or images are smaller than 8 pixels.
        """
        pictures = [lab_of(rgb) for rgb in coloured("Charpiat", loader, self._images)]
        draw = np.random.default_rng(seed)
        each = -(-self._samples // len(pictures))
        described, plain, ab, variation = [], [], [], []
        for lab in pictures:
            check_sides("Charpiat, a training image", lab.shape, _LEAST)
            lab = shrunk(lab, self._side, _LEAST)
            chosen = np.sort(draw.permutation(lab[0].size)[:each])
            described.append(_descriptors(lab[0])[chosen])
            plain.append(_plain(lab[0])[chosen])
            ab.append(lab[1:].reshape(2, -1).T[chosen])
            slopes = np.gradient(lab[1:], axis=(1, 2))
            variation.append(np.sqrt(sum((slope**2).sum(0) for slope in slopes)).ravel()[chosen])
        descriptors, colours = np.concatenate(described), np.concatenate(ab)
        mean = descriptors.mean(0)
        values, vectors = np.linalg.eigh(np.cov((descriptors - mean).T))
        basis = vectors[:, ::-1][:, : self._components]
        spread = np.sqrt(max(values[::-1][: self._components].sum(), 1e-12))
        around = np.concatenate(plain)
        scale = np.concatenate([np.full(basis.shape[1], spread), np.maximum(around.std(0), 1e-6)])
        centres, nearest = self._binned(colours, seed)
        prior = np.bincount(nearest, minlength=len(centres)) / len(nearest)
        features = np.concatenate([(descriptors - mean) @ basis, around], 1) / scale
        self.learned = Learned(
            mean, basis, scale, centres, prior, features, nearest, np.concatenate(variation)
        )

    def _binned(self, ab: Floats, seed: int) -> tuple[Floats, NDArray[np.int64]]:
        """At most `bins` colours (K, 2) and which of them each of (S, 2) is."""
        distinct, which = np.unique(ab.round(3), axis=0, return_inverse=True)
        if len(distinct) <= self._bins:
            return distinct, which.ravel().astype(np.int64)
        means = KMeans(self._bins, n_init=1, random_state=seed).fit(ab)
        return means.cluster_centers_, means.labels_.astype(np.int64)

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """Colour each image: L (B, 1, H, W) to ab (B, 2, h, w), h and w at most `side`.

        Hints are not read.

        Raises:
            ValueError: a side below 8 pixels, an L out of range, or not fitted.
        """
        if self.learned is None:
            raise ValueError("Charpiat: fit to training images first")
        found = []
        for given in one_by_one("Charpiat", lightness, hints):
            check_sides(given.where, given.lightness.shape, _LEAST)
            found.append(self._chosen(shrunk(given.lightness[None], self._side, _LEAST)[0], self.learned))
        return together("Charpiat", found, lightness)

    def predict(self, lightness: Floats, learned: Learned) -> tuple[Floats, Floats]:
        """What pixels of L (H, W) may look like: p(c | v), (HW, K), and the expected variation g, (HW,)."""
        descriptors = (_descriptors(lightness) - learned.mean) @ learned.basis
        features = np.concatenate([descriptors, _plain(lightness)], 1) / learned.scale
        count = min(self._neighbours, len(learned.samples))
        searched = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(
            learned.samples.astype(np.float32)
        )
        far, which = searched.kneighbors(features.astype(np.float32))  # (HW, n), nearest first
        width = np.maximum(far[:, [(count - 1) // 2]], 1e-6)
        votes = np.exp(-((far / width) ** 2) / 2).astype(np.float64)
        votes /= votes.sum(1, keepdims=True)
        bins = len(learned.colours)
        cells = np.arange(len(votes))[:, None] * bins + learned.bin[which]
        shares = np.bincount(cells.ravel(), votes.ravel(), len(votes) * bins).reshape(-1, bins)
        variation = (votes * learned.variation[which]).sum(1)
        return (1 - _FLOOR) * shares + _FLOOR * learned.prior, np.maximum(variation, _SMALLEST)

    def _chosen(self, lightness: Floats, learned: Learned) -> Floats:
        """The ab (2, H, W) of least energy that the cut and the steps find."""
        shares, variation = self.predict(lightness, learned)
        height, width = lightness.shape
        edges = alpha_expansion.grid_edges(height, width, diagonal=True)
        straight = np.isin(np.abs(edges[:, 0] - edges[:, 1]), (1, width))
        length = np.where(straight, 1, np.sqrt(2))
        weights = self._smoothness * (1 / variation[edges]).mean(1) / length
        apart = np.linalg.norm(learned.colours[:, None] - learned.colours, axis=-1)
        problem = alpha_expansion.pose(-np.log(shares + 1e-12), edges, weights, apart)
        labels = alpha_expansion.least(problem, self._sweeps)
        ab = learned.colours[labels]
        for _ in range(self._steps):
            ab = refined(ab, shares, learned.colours, edges, weights)
        return ab.T.reshape(2, height, width)


def blur(colours: Floats) -> float:
    """Standard deviation, in ab, of a bin: half of the mean way to the nearest other one, at least 1."""
    apart = np.linalg.norm(colours[:, None] - colours, axis=-1)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(1)
    return max(1.0, float(nearest[np.isfinite(nearest)].mean()) / 2) if len(colours) > 1 else 1.0


def continuous_energy(
    ab: Floats, shares: Floats, colours: Floats, edges: NDArray[np.int64], weights: Floats
) -> float:
    """Σ_p −log Σ_c p(c | v_p) · exp(−|ab_p − c|² / 2σ²) + Σ_pq w_pq · √(|ab_p − ab_q|² + 1), ab (HW, 2)."""
    far = ((ab[:, None] - colours) ** 2).sum(-1) / (2 * blur(colours) ** 2)
    own = -np.log((shares * np.exp(-far)).sum(1) + 1e-300).sum()
    across = np.sqrt(((ab[edges[:, 0]] - ab[edges[:, 1]]) ** 2).sum(1) + 1)
    return float(own + (weights * across).sum())


def refined(ab: Floats, shares: Floats, colours: Floats, edges: NDArray[np.int64], weights: Floats) -> Floats:
    """Colours (HW, 2) of no higher `continuous_energy`: the least of a quadratic that bounds it.

    Args:
        ab: (HW, 2). shares: (HW, K). colours: (K, 2). edges: (E, 2). weights: (E,).
    """
    variance = blur(colours) ** 2
    far = ((ab[:, None] - colours) ** 2).sum(-1) / (2 * variance)
    belongs = shares * np.exp(far.min(1, keepdims=True) - far)
    belongs /= belongs.sum(1, keepdims=True)
    one, two = edges.T
    pull = weights / np.sqrt(((ab[one] - ab[two]) ** 2).sum(1) + 1)
    count = len(ab)
    between = coo_array((pull, (one, two)), (count, count)).tocsr()
    between = between + between.T
    matrix = diags_array(np.asarray(between.sum(1)).ravel() + 1 / variance) - between
    aim = belongs @ colours / variance
    return np.stack([cg(matrix, aim[:, i], x0=ab[:, i], rtol=1e-6, maxiter=200)[0] for i in (0, 1)], 1)


def _descriptors(lightness: Floats) -> Floats:
    """SURF of L (H, W) at all scales, (HW, 192)."""
    at = [surf.dense(lightness / 100, scale) for scale in _SCALES]
    return np.concatenate(at, -1).reshape(lightness.size, -1).astype(np.float64)


def _plain(lightness: Floats) -> Floats:
    """Intensity, and mean and standard deviation of 5×5 pixels, (HW, 3), of L / 100."""
    gray = lightness / 100
    mean = uniform_filter(gray, 5, mode="reflect")
    spread = np.sqrt(np.maximum(uniform_filter(gray**2, 5, mode="reflect") - mean**2, 0))
    return np.stack([gray, mean, spread], -1).reshape(-1, 3)
