"""Average precision from matched detections: COCO's 101 points, VOC's 11 points and VOC's area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.detection.matching import SIZES
from downstream.metrics.interpolation import (
    Counts,
    Interpolation,
    area_interpolation,
    coco_interpolation,
    eleven_point_interpolation,
)
from downstream.protocol import Predictions


class _Curve(NamedTuple):
    """One class at one threshold, in order of falling score. Positions index the class's detections."""

    hits: NDArray[np.intp]
    ignored: NDArray[np.intp]
    ignored_before: NDArray[np.intp]  # how many of `ignored` precede each hit


class _Class(NamedTuple):
    """All detections of one class in order of falling score, and its objects by row."""

    row: NDArray[np.intp]
    curves: tuple[_Curve, ...]
    targets: Counts


def _sort_classes(
    rows: Predictions, matched: NDArray[np.bool_], ignored: NDArray[np.bool_], targets: Counts
) -> list[_Class]:
    row, slot = np.nonzero(rows["classes"] >= 0)
    score, image = -rows["scores"][row, slot].astype(np.float64), rows["image"][row]
    label = rows["classes"][row, slot]
    # Equal scores are ordered by the image's place in the split, not in `rows`: resampling cannot move them.
    order = np.lexsort((slot, image, score, label))
    row, slot, label = row[order], slot[order], label[order]
    hit, excused = matched[row, slot], ignored[row, slot]  # (M, T)
    classes = targets.shape[1]
    limits = np.searchsorted(label, np.arange(classes + 1))
    found = []
    for c in range(classes):
        part = slice(limits[c], limits[c + 1])
        curves = tuple(_curve(hit[part, t], excused[part, t]) for t in range(matched.shape[2]))
        found.append(_Class(row[part], curves, targets[:, c]))
    return found


def _curve(hit: NDArray[np.bool_], excused: NDArray[np.bool_]) -> _Curve:
    hits, ignored = np.flatnonzero(hit), np.flatnonzero(excused)
    return _Curve(hits, ignored, np.searchsorted(ignored, hits))


def _class_precision(one: _Class, counts: Counts, interpolate: Interpolation) -> list[float]:
    """Average precision at every threshold; empty where no object of the class was drawn."""
    objects = int(counts @ one.targets)
    if objects == 0:
        return []
    weight = counts[one.row]
    seen = np.cumsum(weight)
    values = []
    for hits, ignored, ignored_before in one.curves:
        if not len(hits):
            values.append(0.0)
            continue
        # Precision changes upward at hits alone, so that the envelope needs no other point.
        excused = np.append(0, np.cumsum(weight[ignored]))[ignored_before]
        values.append(interpolate(np.cumsum(weight[hits]), seen[hits] - excused, objects))
    return values


@dataclass(frozen=True)
class AveragePrecision:
    """Mean average precision over classes that have objects, and over IoU thresholds.

    NaN where no image has an object that is not difficult.

    Args:
        interpolate: how a precision-recall curve becomes a number.
        matched, ignored: names of the rows (N, K, T) to read.
        targets: name of the rows (N, C) that count the objects.
        thresholds: positions of the T thresholds to average over; None = all.
    """

    interpolate: Interpolation
    matched: str = "matched"
    ignored: str = "ignored"
    targets: str = "targets"
    thresholds: tuple[int, ...] | None = None

    def __call__(self, rows: Predictions) -> float:
        """Score rows, each counted once."""
        return self.counted(rows)(np.ones(len(rows["image"]), np.int64))

    def counted(self, rows: Predictions) -> Callable[[Counts], float]:
        """Sort once; the result scores the rows with row i counted counts[i] times, counts (N,) int64.

        It equals `self(take(rows, index))` with `counts = bincount(index, minlength=N)`.
        """
        matched, ignored = rows[self.matched], rows[self.ignored]
        chosen = list(range(matched.shape[2]) if self.thresholds is None else self.thresholds)
        classes = _sort_classes(rows, matched[:, :, chosen], ignored[:, :, chosen], rows[self.targets])

        def score(counts: Counts) -> float:
            values = [v for one in classes for v in _class_precision(one, counts, self.interpolate)]
            return float(np.mean(values)) if values else float("nan")

        return score


coco_ap = AveragePrecision(coco_interpolation)
"""Mean over IoU .5:.05:.95 (COCO's primary figure, all areas)."""

ap50 = AveragePrecision(coco_interpolation, thresholds=(0,))
ap75 = AveragePrecision(coco_interpolation, thresholds=(5,))

voc_ap_11point = AveragePrecision(eleven_point_interpolation, matched="voc_matched", ignored="voc_ignored")
"""VOC 2007: 11 points, the development kit's matching at IoU .5."""

voc_ap_area = AveragePrecision(area_interpolation, matched="voc_matched", ignored="voc_ignored")
"""VOC 2010 and later: area under the envelope, the development kit's matching at IoU .5."""

METRICS = {
    "coco_ap": coco_ap,
    "ap50": ap50,
    "ap75": ap75,
    "voc_ap_11point": voc_ap_11point,
    "voc_ap_area": voc_ap_area,
}
"""Every detection metric that all sets have, by name, the primary one first."""

BY_SIZE = {
    size: AveragePrecision(coco_interpolation, f"matched_{size}", f"ignored_{size}", f"targets_{size}")
    for size in SIZES
}
"""AP over IoU .5:.05:.95 of objects whose box has an area in one of `SIZES`, by its name.

COCO's AP_S, AP_M and AP_L only where `area` is the box's and images keep their size; see `SIZES`.
"""
