"""Colours of a like picture, carried over by matched superpixels (Gupta et al. 2012).

"Image colorization using similar images", ACM Multimedia 2012, doi:10.1145/2393347.2393402.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb
from sklearn.cluster import KMeans
from torch import Tensor

from pretext.colorizers import levin, superpixels
from pretext.colorizers.arrays import Floats, check_sides, gray_of, lab_of, shrunk, together
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import Given, one_by_one
from pretext.colorizers.retrieval import ReferenceSource
from pretext.colorizers.superpixels import Described, Whole
from pretext.task import Loader

SHARES = {"gabor": 0.2, "surf": 0.5, "intensity": 0.2, "deviation": 0.1}
"""What distances count for in the last stage, and the order of those before it."""

_LEAST = 8


class Gupta:
    """Matches superpixels of an image to those of one like it, and scribbles their colours.

    Superpixels are matched by a cascade, Gabor, SURF, intensity, deviation: after each the better half of the
    reference's superpixels stay, and among the last the least weighted distance wins. In each larger
    segment of the image the colours so found vote: they fall into two clusters, and the smaller takes the
    mean of the larger. Small squares at the superpixels' centres are scribbles, which spread as Levin's do.

    Constants are those of a port. Approximated: superpixels are SLIC's, not TurboPixels; SURF is upright and
    dense, averaged over a superpixel; a part's distances are divided by their mean, so that the shares
    weigh like with like; segments are Felzenszwalb's. Remembered rather than read: the order of the stages,
    and voting.

    Args:
        source: where the reference comes from: `retrieval.References`, automatic, or `retrieval.Chosen`.
        count: superpixels, about, of either picture.
        compactness: of SLIC, on gray in [0, 1].
        kept: share of the candidates that stay after a stage, in (0, 1].
        scribble: pixels of a scribble's side, odd; cut where the superpixel ends.
        segment: scale of the segments that vote; larger ones for larger scales.
        side: pixels of the longer side of the copies that are worked on.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        source: ReferenceSource,
        count: int = 200,
        compactness: float = 0.1,
        kept: float = 0.5,
        scribble: int = 3,
        segment: float = 100.0,
        side: int = 256,
    ) -> None:
        if count < 2 or side < _LEAST or scribble < 1 or scribble % 2 == 0:
            raise ValueError(
                f"Gupta takes superpixels from 2, sides from {_LEAST} and an odd scribble, "
                f"got {count}, {side}, {scribble}"
            )
        if not (0 < compactness < np.inf and 0 < segment < np.inf and 0 < kept <= 1):
            raise ValueError(
                "Gupta takes a positive compactness and segment, and a share kept in (0, 1], "
                f"got {compactness}, {segment}, {kept}"
            )
        self._source = source
        self._count, self._compactness, self._kept = count, compactness, kept
        self._scribble, self._segment, self._side = scribble, segment, side

    def fit(self, loader: Loader, seed: int) -> None:
        """Let the references see training images."""
        self._source.fit(loader, seed)

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """Colour each image: L (B, 1, H, W) to ab (B, 2, h, w), h and w at most `side`.

        Raises:
            ValueError: a side below 8 pixels, an L out of range, or no reference with colour.
        """
        found = [self._coloured(given) for given in one_by_one("Gupta", lightness, hints)]
        return together("Gupta", found, lightness)

    def _coloured(self, given: Given) -> Floats:
        check_sides(given.where, given.lightness.shape, _LEAST)
        light = shrunk(given.lightness[None], self._side, _LEAST)[0]
        (rgb,) = self._source.of(given, 1)
        check_sides(f"{given.where}: its reference", rgb.shape, _LEAST)
        lab = shrunk(lab_of(rgb), self._side, _LEAST)
        gray, reference = gray_of(light), gray_of(lab[0])
        regions, theirs = (
            superpixels.regions(one, self._count, self._compactness) for one in (gray, reference)
        )
        matches = matched(
            superpixels.described(gray, regions), superpixels.described(reference, theirs), self._kept
        )
        ab = superpixels.means(lab[1:].transpose(1, 2, 0), theirs)[matches]  # (S, 2)
        segments = felzenszwalb(gray, scale=self._segment, sigma=0.8, min_size=4 * gray.size // self._count)
        ab = outvoted(ab, regions, segments)
        marked = centres(regions, self._scribble)
        return levin.propagate(gray, ab[regions], marked, given.where).transpose(2, 0, 1)


def matched(target: Described, reference: Described, kept: float) -> Whole:
    """Which of a reference's superpixels each of a target's (S,) is most like."""
    away = {}
    for part in SHARES:
        one, two = getattr(target, part), getattr(reference, part)
        distance = np.sqrt(np.maximum((one**2).sum(1)[:, None] + (two**2).sum(1) - 2 * one @ two.T, 0))
        away[part] = distance / max(float(distance.mean()), 1e-12)
    total = sum(SHARES[part] * away[part] for part in SHARES)
    found = np.empty(len(target.gabor), np.int64)
    for place in range(len(found)):
        left = np.arange(len(reference.gabor))
        for part in SHARES:
            order = np.argsort(away[part][place, left], kind="stable")
            left = np.sort(left[order[: max(1, int(np.ceil(kept * len(left))))]])
        found[place] = left[total[place, left].argmin()]
    return found


def outvoted(ab: Floats, regions: Whole, segments: NDArray[np.integer]) -> Floats:
    """Colours (S, 2) of superpixels (H, W) after each segment (H, W) voted.

    A superpixel votes where most of it lies. Of two clusters of a segment's colours the smaller takes the
    larger's mean; of equal ones both stay.
    """
    table = np.zeros((len(ab), int(segments.max()) + 1))
    np.add.at(table, (regions.ravel(), segments.ravel()), 1)
    own = table.argmax(1)
    after = ab.copy()
    for segment in np.unique(own):
        voters = np.flatnonzero(own == segment)
        if len(np.unique(ab[voters].round(6), axis=0)) < 2:
            continue
        sides = KMeans(2, n_init=4, random_state=0).fit(ab[voters]).labels_
        ones = int(sides.sum())
        if 2 * ones == len(sides):
            continue
        larger = int(2 * ones > len(sides))
        after[voters[sides != larger]] = ab[voters[sides == larger]].mean(0)
    return after


def centres(regions: Whole, side: int) -> NDArray[np.bool_]:
    """Where scribbles lie (H, W): squares of so many pixels, each at its superpixel's most central one."""
    marked = np.zeros(regions.shape, bool)
    rows, columns = np.indices(regions.shape)
    middle = superpixels.means(np.stack([rows, columns], -1).astype(float), regions)
    far = (rows - middle[regions, 0]) ** 2 + (columns - middle[regions, 1]) ** 2
    order = np.lexsort((far.ravel(), regions.ravel()))
    first = order[np.searchsorted(regions.ravel()[order], np.arange(len(middle)))]
    half = side // 2
    for label, place in enumerate(first):
        row, column = divmod(int(place), regions.shape[1])
        window = np.s_[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
        marked[window] |= regions[window] == label
    return marked
