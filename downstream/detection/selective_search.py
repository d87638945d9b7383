"""Selective search (Uijlings et al., IJCV 2013): where objects may be, by grouping alike neighbours."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2hsv, rgb2lab
from skimage.segmentation import felzenszwalb

VERSION = 1
"""Raised when boxes change, so that older ones are not read from a cache."""

COLOUR_BINS = 25
"""Bins of a channel's histogram of colours."""

ORIENTATIONS, TEXTURE_BINS = 8, 10
"""Directions of derivatives, and bins of the histogram of each."""

_SMOOTHING = 0.8
_LAB_LOW, _LAB_SPAN = np.array([0, -128, -128]), np.array([100, 255, 255])


@dataclass(frozen=True)
class Regions:
    """What grouping knows of regions: areas add up, boxes join, histograms mix by area.

    Attributes:
        sizes: (R,) pixels. boxes: (R, 4) xyxy, the far sides exclusive.
        colours, textures: (R, bins) histograms, each row's sum is 1.
    """

    sizes: NDArray[np.float64]
    boxes: NDArray[np.float64]
    colours: NDArray[np.float64]
    textures: NDArray[np.float64]


def selective_search(
    image: NDArray[np.uint8], scales: Sequence[int] = (50, 100), count: int = 2000
) -> NDArray[np.float32]:
    """Boxes that may hold an object, the likelier ones first.

    The paper's "fast" mode: over-segmentations (Felzenszwalb and Huttenlocher 2004, smoothing .8) in HSV and
    Lab, by the given scales, each grouped twice: by colour, texture, size and fill, and by the last three.
    Regions that appear late, large ones, come first, each rank times a random number, as in the paper; that
    number depends on nothing but its place, so that the same image has the same boxes.

    Not as released: texture is the derivative of a Gaussian (σ 1) in eight directions, the positive half of
    each; small boxes are not left out.

    Args:
        image: (H, W, 3) RGB.
        scales: preference for large segments, and the smallest one's pixels; 50 and 100 are published, for
            images of 500 pixels.
        count: boxes at most.

    Returns:
        (K, 4) xyxy in pixels, the far sides exclusive, no box twice; the whole image is among them unless
        `count` cuts it off.

    Raises:
        ValueError: an image of another shape or type, a scale or a count below 1.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"selective search needs (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if not scales or min(scales) < 1 or count < 1:
        raise ValueError(f"selective search: scales={tuple(scales)!r} or count={count!r} is out of range")
    found: list[NDArray[np.float64]] = []
    for channels in (rgb2hsv(image), (rgb2lab(image) - _LAB_LOW) / _LAB_SPAN):
        rises = derivatives(channels)
        for scale in scales:
            segments = felzenszwalb(channels, scale=scale, sigma=_SMOOTHING, min_size=scale)
            start, neighbours = regions(channels, rises, segments), _neighbours(segments)
            found += [group(start, neighbours, segments.size, by_color) for by_color in (True, False)]
    return _ranked(found)[:count]


def regions(
    channels: NDArray[np.float64], rises: NDArray[np.float64], segments: NDArray[np.int64]
) -> Regions:
    """Measure the segments of an image.

    Args:
        channels: (H, W, C) colours in [0, 1]. rises: their `derivatives`.
        segments: (H, W) labels, from 0 without a gap.
    """
    labels = segments.ravel()
    sizes = np.bincount(labels).astype(np.float64)
    rows, columns = (axis.ravel() for axis in np.indices(segments.shape))
    order = np.argsort(labels, kind="stable")
    starts = np.append(0, np.cumsum(sizes)[:-1]).astype(np.int64)
    lows = [np.minimum.reduceat(axis[order], starts) for axis in (columns, rows)]
    highs = [np.maximum.reduceat(axis[order], starts) + 1 for axis in (columns, rows)]
    return Regions(
        sizes,
        np.stack([*lows, *highs], 1).astype(np.float64),
        _histograms(channels, labels, COLOUR_BINS),
        _histograms(rises, labels, TEXTURE_BINS),
    )


def group(
    start: Regions, neighbours: Iterable[tuple[int, int]], pixels: int, by_color: bool
) -> NDArray[np.float64]:
    """Merge the two most alike neighbours until one region is left.

    Args:
        neighbours: pairs of touching regions, together connected.
        pixels: of the whole image.
        by_color: whether the likeness of colours counts besides texture, size and fill.

    Returns:
        (2 R − 1, 4) boxes: the R first regions, then the merged ones as they appear.
    """
    first = len(start.sizes)
    grown = Regions(*(_doubled(values) for values in vars(start).values()))
    touching: dict[int, set[int]] = {region: set() for region in range(first)}
    for a, b in neighbours:
        touching[a].add(b)
        touching[b].add(a)
    queue: list[tuple[float, int, int]] = []

    def compare(region: int, others: set[int]) -> None:
        other = np.array(sorted(others), np.int64)
        likeness = similarity(grown, region, other, pixels, by_color)
        for value, index in zip(likeness.tolist(), other.tolist(), strict=True):
            heapq.heappush(queue, (-value, min(region, index), max(region, index)))

    for region, others in touching.items():
        compare(region, {other for other in others if other > region})
    for merged in range(first, 2 * first - 1):
        _, a, b = heapq.heappop(queue)
        while a not in touching or b not in touching:  # one of them is part of a larger region by now
            _, a, b = heapq.heappop(queue)
        others = (touching.pop(a) | touching.pop(b)) - {a, b}
        _merge(grown, a, b, merged)
        touching[merged] = others
        for other in others:
            touching[other] = (touching[other] - {a, b}) | {merged}
        compare(merged, others)
    return grown.boxes


def similarity(
    known: Regions, region: int, others: NDArray[np.int64], pixels: int, by_color: bool
) -> NDArray[np.float64]:
    """Likeness of one region and others (K,): the sum of three or four terms, each at most 1.

    Histogram intersections of colour and texture; small regions first; regions that fill their common box
    first.
    """
    size = known.sizes[region] + known.sizes[others]
    low = np.minimum(known.boxes[region, :2], known.boxes[others, :2])
    high = np.maximum(known.boxes[region, 2:], known.boxes[others, 2:])
    texture = np.minimum(known.textures[region], known.textures[others]).sum(1)
    fill = 1 - ((high - low).prod(1) - size) / pixels
    alike: NDArray[np.float64] = texture + (1 - size / pixels) + fill
    if by_color:
        alike = alike + np.minimum(known.colours[region], known.colours[others]).sum(1)
    return alike


def _merge(grown: Regions, a: int, b: int, merged: int) -> None:
    size = grown.sizes[a] + grown.sizes[b]
    grown.sizes[merged] = size
    grown.boxes[merged, :2] = np.minimum(grown.boxes[a, :2], grown.boxes[b, :2])
    grown.boxes[merged, 2:] = np.maximum(grown.boxes[a, 2:], grown.boxes[b, 2:])
    for histograms in (grown.colours, grown.textures):
        mixed = grown.sizes[a] * histograms[a] + grown.sizes[b] * histograms[b]
        histograms[merged] = mixed / size


def _doubled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Room for the regions that merging R of them makes."""
    return np.concatenate([values, np.zeros((len(values) - 1, *values.shape[1:]))])


def _neighbours(segments: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of segments that share an edge of a pixel."""
    beside = np.stack([segments[:, :-1].ravel(), segments[:, 1:].ravel()])
    below = np.stack([segments[:-1].ravel(), segments[1:].ravel()])
    pairs = np.concatenate([beside, below], 1)
    pairs = np.unique(np.sort(pairs[:, pairs[0] != pairs[1]], axis=0), axis=1)
    return [(int(a), int(b)) for a, b in pairs.T]


def derivatives(channels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, C) → (H, W, 8 C): how steeply each channel rises in eight directions, each scaled to [0, 1]."""
    along_x = gaussian_filter(channels, (1, 1, 0), order=(0, 1, 0))
    along_y = gaussian_filter(channels, (1, 1, 0), order=(1, 0, 0))
    angles = 2 * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    steep = [np.cos(angle) * along_x + np.sin(angle) * along_y for angle in angles]
    rises: NDArray[np.float64] = np.maximum(np.concatenate(steep, 2), 0)
    scaled: NDArray[np.float64] = rises / np.maximum(rises.max((0, 1)), 1e-12)
    return scaled


def _histograms(values: NDArray[np.float64], labels: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
    """Histograms over [0, 1] of every channel of (H, W, C) by label: (R, C · bins), each row's sum is 1."""
    channels = values.shape[2]
    binned = np.clip((values.reshape(-1, channels) * bins).astype(np.int64), 0, bins - 1)
    cells = (labels[:, None] * channels + np.arange(channels)) * bins + binned
    count = int(labels.max()) + 1
    totals = np.bincount(cells.ravel(), minlength=count * channels * bins).reshape(count, -1)
    shares: NDArray[np.float64] = totals / totals.sum(1, keepdims=True)
    return shares


def _ranked(found: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """The boxes of all groupings, the last regions of each first, shuffled a little, no box twice."""
    random = np.random.default_rng(0)
    places = [random.random(len(boxes)) * np.arange(len(boxes), 0, -1) for boxes in found]
    boxes = np.concatenate(found).astype(np.float32)[np.argsort(np.concatenate(places), kind="stable")]
    first = np.sort(np.unique(boxes, axis=0, return_index=True)[1])
    return boxes[first]
