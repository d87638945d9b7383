"""Small regions of a gray image, what they show, and which of them touch."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve
from scipy.sparse import coo_array, csr_array
from skimage.filters import gabor_kernel
from skimage.segmentation import slic

from pretext.colorizers import surf

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_FREQUENCIES = tuple(0.25 / 2 ** (step / 2) for step in range(5))
_ORIENTATIONS = 8


class Described(NamedTuple):
    """Superpixels by what they show, 172 numbers in four parts.

    gabor: (S, 40), mean sizes of responses. surf: (S, 128), mean descriptors. intensity, deviation: (S, 2), a
    superpixel's own mean and that of its neighbours.
    """

    gabor: Floats
    surf: Floats
    intensity: Floats
    deviation: Floats


def regions(gray: Floats, count: int, compactness: float) -> Whole:
    """Superpixels (H, W) from 0, about so many, by SLIC on gray in [0, 1] (H, W)."""
    found = slic(gray, n_segments=count, compactness=compactness, channel_axis=None, start_label=0)
    return np.unique(found, return_inverse=True)[1].reshape(gray.shape).astype(np.int64)


def means(values: Floats, labels: Whole) -> Floats:
    """Mean of values (H, W, C) in each of S regions (H, W): (S, C)."""
    count = int(labels.max()) + 1
    where = csr_array((np.ones(labels.size), (labels.ravel(), np.arange(labels.size))), (count, labels.size))
    return np.asarray(
        (where @ values.reshape(labels.size, -1)) / np.bincount(labels.ravel(), minlength=count)[:, None]
    )


def touching(labels: Whole) -> csr_array:
    """Which of S regions touch along an edge of a pixel: (S, S), 1 where they do."""
    pairs = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    one = np.concatenate([pair[0].ravel() for pair in pairs])
    two = np.concatenate([pair[1].ravel() for pair in pairs])
    apart = one != two
    one, two = np.concatenate([one[apart], two[apart]]), np.concatenate([two[apart], one[apart]])
    count = int(labels.max()) + 1
    found = coo_array((np.ones(len(one)), (one, two)), (count, count)).tocsr()
    found.data[:] = 1
    return found


def described(gray: Floats, labels: Whole, scale: int = 1) -> Described:
    """What the regions (H, W) of a gray image in [0, 1] show.

    Args:
        scale: of SURF, in pixels.
    """
    mean = uniform_filter(gray, 5, mode="reflect")
    deviation = np.sqrt(np.maximum(uniform_filter(gray**2, 5, mode="reflect") - mean**2, 0))
    near = touching(labels)
    around = np.maximum(np.asarray(near.sum(1)).ravel(), 1)[:, None]

    def with_neighbours(values: Floats) -> Floats:
        own = means(values[..., None], labels)
        others = (near @ own) / around
        alone = np.asarray(near.sum(1)).ravel() == 0
        return np.concatenate([own, np.where(alone[:, None], own, others)], 1)

    return Described(
        means(gabor_sizes(gray), labels),
        means(surf.dense(gray, scale, extended=True).astype(np.float64), labels),
        with_neighbours(gray),
        with_neighbours(deviation),
    )


@functools.cache
def _gabors() -> tuple[NDArray[np.complex128], ...]:
    turns = np.pi * np.arange(_ORIENTATIONS) / _ORIENTATIONS
    kernels = [gabor_kernel(frequency, theta=turn) for frequency in _FREQUENCIES for turn in turns]
    return tuple(kernel - kernel.mean() for kernel in kernels)


def gabor_sizes(gray: Floats) -> Floats:
    """Sizes of what 40 Gabor filters respond, 5 frequencies × 8 orientations: (H, W) to (H, W, 40)."""
    height, width = gray.shape
    found = []
    for kernel in _gabors():
        down, right = kernel.shape[0] // 2, kernel.shape[1] // 2
        padded = np.pad(gray, ((down, down), (right, right)), mode="symmetric")
        found.append(np.abs(fftconvolve(padded, kernel, mode="valid"))[:height, :width])
    return np.stack(found, -1)
