"""The object of a picture: what stands out from its border."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import slic
from torch import from_numpy

from pretext.color import rgb_to_lab

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Salient(NamedTuple):
    """An object and how clearly it is one.

    mask: (H, W), one region without holes; of no pixel where nothing stands out. clarity: in [0, 1].
    """

    mask: Bools
    clarity: float


def salient(rgb: Floats, superpixels: int = 100) -> Salient:
    """Find what differs in colour from most of the border.

    A superpixel's saliency is the median distance, in Lab, from those at the border, so that an object may
    touch it; Otsu's threshold parts them, and the largest region stays. Its clarity is the share of salient
    pixels that are in it, times the share of the border that is not, times the share of the saliency's
    variance that the threshold explains.

    Args:
        rgb: (H, W, 3) in [0, 1].
        superpixels: about so many.
    """
    height, width = rgb.shape[:2]
    lab = rgb_to_lab(from_numpy(rgb).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()  # (H, W, 3)
    segments = slic(rgb, n_segments=superpixels, compactness=10, start_label=0)
    places = np.arange(segments.max() + 1)
    colors = np.stack([ndimage.mean(lab[..., c], segments, places) for c in range(3)], -1)  # (S, 3)
    frame = np.ones((height, width), dtype=bool)
    frame[1:-1, 1:-1] = False
    border = np.unique(segments[frame])
    away = np.median(np.linalg.norm(colors[:, None] - colors[border], axis=-1), axis=1)[segments]  # (H, W)
    if np.ptp(away) < 1:  # of Lab, below what anybody sees
        return Salient(np.zeros((height, width), dtype=bool), 0.0)
    above = away > _parting(away)
    regions, count = ndimage.label(above)
    sizes = ndimage.sum_labels(above, regions, np.arange(1, count + 1))
    largest = regions == 1 + int(np.argmax(sizes))
    explained = (
        above.mean() * (1 - above.mean()) * (away[above].mean() - away[~above].mean()) ** 2 / away.var()
    )
    clarity = float(sizes.max() / above.sum() * (1 - largest[frame].mean()) * explained)
    return Salient(np.asarray(ndimage.binary_fill_holes(largest)), clarity)


def _parting(values: Floats) -> float:
    """Otsu's threshold, halfway between two of the values: exact, where a histogram may cut within a bin."""
    levels, counts = np.unique(values, return_counts=True)
    below = np.cumsum(counts)[:-1] / values.size
    mass = np.cumsum(counts * levels)[:-1] / values.size
    between = (values.mean() * below - mass) ** 2 / (below * (1 - below))
    best = int(np.argmax(between))
    return float(levels[best] + levels[best + 1]) / 2
