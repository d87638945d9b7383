"""A precision-recall curve as one number: COCO's 101 points, VOC's 11 points and VOC's area."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Interpolation = Callable[[Counts, Counts, int], float]
"""(true positives so far, detections so far, objects) at every true positive → average precision."""

_COCO_RECALLS = np.linspace(0.0, 1.0, 101)


def _envelope(found: Counts, seen: Counts) -> NDArray[np.float64]:
    """Best precision at this or any later point of the curve, and 0 behind its end."""
    precision = np.zeros(len(found) + 1)
    np.divide(found, np.maximum(seen, 1), out=precision[:-1])
    return np.asarray(np.maximum.accumulate(precision[::-1])[::-1])


def coco_interpolation(found: Counts, seen: Counts, objects: int) -> float:
    """Mean of the envelope at recall 0, .01, …, 1, as in pycocotools."""
    at = np.searchsorted(found / objects, _COCO_RECALLS)
    return float(_envelope(found, seen)[at].sum() / len(at))


def eleven_point_interpolation(found: Counts, seen: Counts, objects: int) -> float:
    """Mean of the envelope at recall 0, .1, …, 1 (VOC until 2009)."""
    # In whole numbers: recall .3 reaches the point .3, which 0.1 · 3 in floating point exceeds.
    at = np.searchsorted(10 * found, objects * np.arange(11))
    return float(_envelope(found, seen)[at].sum() / len(at))


def area_interpolation(found: Counts, seen: Counts, objects: int) -> float:
    """Area under the envelope (VOC from 2010)."""
    return float((np.diff(found, prepend=0) * _envelope(found, seen)[:-1]).sum() / objects)
