"""Which detections find an object: greedy matching as COCO and as the VOC development kit do it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.protocol import Predictions
from downstream.selection import Diverged
from pretext.data.dataset import Boxes

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds .5:.05:.95; the last axis of `matched` and `ignored`."""

VOC_THRESHOLD = 0.5

SIZES: dict[str, tuple[float, float]] = {
    "below_32px": (0.0, 32.0**2),
    "32_to_96px": (32.0**2, 96.0**2),
    "above_96px": (96.0**2, np.inf),
}
"""Ranges of a box's area, both ends included, in pixels of the images as the split holds them.

The limits are those of COCO's small, medium and large, the areas are not: COCO takes the `area` of an
annotation, that of its mask in the photograph as published; here it is the box's, after all resizing.
"""

_OUTCOMES = ("matched", "ignored")
_CHUNK = 256  # images matched at once: bounds memory at COCO's 100 detections × 60 objects


class Detections(NamedTuple):
    """Detections of all images of a split, ragged: image i owns rows `offsets[i]:offsets[i + 1]`.

    xyxy: (M, 4) float32 in pixels; labels: (M,) int64 from 0; scores: (M,) float32, higher is surer.
    """

    offsets: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    def of(self, image: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Boxes (K, 4), labels (K,), scores (K,) of one image."""
        rows = slice(int(self.offsets[image]), int(self.offsets[image + 1]))
        return self.xyxy[rows], self.labels[rows], self.scores[rows]


def detection_rows(
    detections: Detections, truth: Boxes, classes: int, max_detections: int = 100
) -> Predictions:
    """Match detections to objects of the same image and class, best score first.

    COCO (`matched`, `ignored`): a detection takes the free object of highest IoU at or above the
    threshold (the later one on a tie); where no regular object is free, a difficult one makes it ignored.
    Of crowds (`Boxes.crowds`) it is the share of the detection that lies on them. By size
    (`matched_below_32px`, `ignored_below_32px`, …) objects of another size make what takes them ignored, once
    each, and so does a size of its own that is another, where nothing is taken. Sizes are areas of boxes; see
    `SIZES`.
    VOC (`voc_matched`, `voc_ignored`): only the object of highest IoU counts (the earlier one on a tie),
    taken or not. Difficult objects, as in VOC, excuse any number of detections and are never counted.

    Args:
        detections: of the same N images as `truth`.
        truth: the objects.
        classes: number of classes C; labels lie in [0, C).
        max_detections: kept per image and class, as in pycocotools.

    Returns:
        scores (N, K) float32; classes (N, K) int64, −1 = padding; matched, ignored (N, K, 10) bool;
        matched_below_32px, ignored_below_32px, … the same for each of `SIZES`; voc_matched, voc_ignored
        (N, K, 1) bool; targets (N, C) int64, counts of objects that are not difficult, and
        targets_below_32px, … by size; image (N,) int64, the position in the split, by which equal scores
        are ordered.

    Raises:
        ValueError: different numbers of images, labels out of range, scores or boxes that are not finite.
    """
    _check(detections, truth, classes)
    images = len(truth.offsets) - 1
    image, position, kept = _arrange(detections, max_detections)
    width = int(position.max()) + 1 if len(position) else 0

    scores = np.zeros((images, width), np.float32)
    labels = np.full((images, width), -1, np.int64)
    boxes = np.zeros((images, width, 4), np.float64)
    scores[image, position] = detections.scores[kept]
    labels[image, position] = detections.labels[kept]
    boxes[image, position] = detections.xyxy[kept]

    coco = [f"{what}{suffix}" for suffix in ("", *(f"_{size}" for size in SIZES)) for what in _OUTCOMES]
    outcome = {name: np.zeros((images, width, len(IOU_THRESHOLDS)), np.bool_) for name in coco}
    outcome |= {f"voc_{what}": np.zeros((images, width, 1), np.bool_) for what in _OUTCOMES}
    for first in range(0, images, _CHUNK):
        part = slice(first, min(first + _CHUNK, images))
        pairs = _pairs(boxes[part], labels[part], truth, part)
        found = _match_voc(pairs.overlap, pairs.difficult)
        outcome["voc_matched"][part], outcome["voc_ignored"][part] = found
        found = _match_coco(pairs, (0.0, np.inf))
        outcome["matched"][part], outcome["ignored"][part] = found
        for size, area in SIZES.items():
            found = _match_coco(pairs, area)
            outcome[f"matched_{size}"][part], outcome[f"ignored_{size}"][part] = found
    return {
        "scores": scores,
        "classes": labels,
        **outcome,
        "targets": count_targets(truth, classes),
        **{f"targets_{size}": count_targets(truth, classes, area) for size, area in SIZES.items()},
        "image": np.arange(images),
    }


def areas(xyxy: NDArray[Any]) -> NDArray[np.float64]:
    """Area (…,) of boxes (…, 4)."""
    wide: NDArray[np.float64] = xyxy.astype(np.float64)
    area: NDArray[np.float64] = (wide[..., 2] - wide[..., 0]) * (wide[..., 3] - wide[..., 1])
    return area


def count_targets(truth: Boxes, classes: int, area: tuple[float, float] = (0.0, np.inf)) -> NDArray[np.int64]:
    """Objects that are not difficult and of an area in this range, by image and class: (N, C) int64."""
    counts = np.zeros((len(truth.offsets) - 1, classes), np.int64)
    regular = ~truth.difficult & _inside(areas(truth.xyxy), area)
    np.add.at(counts, (owner(truth.offsets)[regular], truth.labels[regular]), 1)
    return counts


def _check(detections: Detections, truth: Boxes, classes: int) -> None:
    if len(detections.offsets) != len(truth.offsets):
        found, expected = len(detections.offsets) - 1, len(truth.offsets) - 1
        raise ValueError(f"detections of {found} images were given for {expected} images")
    for what, labels in (("detections", detections.labels), ("objects", truth.labels)):
        if len(labels) and (labels.min() < 0 or labels.max() >= classes):
            raise ValueError(
                f"labels of {what} must lie in [0, {classes}); got {labels.min()} to {labels.max()}"
            )
    bad = ~(np.isfinite(detections.scores) & np.isfinite(detections.xyxy).all(1))
    if bad.any():
        image = int(owner(detections.offsets)[bad.argmax()])
        raise Diverged(f"detections of image {image} have a score or a box that is not finite")


def owner(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Image of every row of a ragged array."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _rank_in_group(*sorted_keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position inside its run of equal keys, for rows that are sorted by them."""
    count = len(sorted_keys[0])
    starts = np.ones(count, np.bool_)
    starts[1:] = np.any([key[1:] != key[:-1] for key in sorted_keys], axis=0)
    first = np.flatnonzero(starts)
    return np.arange(count) - first[np.cumsum(starts) - 1] if count else np.zeros(0, np.int64)


def _arrange(
    detections: Detections, max_detections: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Image, position by falling score, and source row of every detection that is kept."""
    image = owner(detections.offsets)
    by_class = np.lexsort((-detections.scores, detections.labels, image))  # stable on equal scores
    rank = _rank_in_group(image[by_class], detections.labels[by_class])
    kept = np.sort(by_class[rank < max_detections])
    kept = kept[np.lexsort((-detections.scores[kept], image[kept]))]
    return image[kept], _rank_in_group(image[kept]), kept


class _Pairs(NamedTuple):
    """Detections and padded objects of some images.

    overlap: IoU (B, K, G), −1 across classes; coco_overlap: the same, but the share of the detection on
    crowds; difficult (B, G); areas of detections (B, K) and objects (B, G).
    """

    overlap: NDArray[np.float64]
    coco_overlap: NDArray[np.float64]
    difficult: NDArray[np.bool_]
    detection_areas: NDArray[np.float64]
    object_areas: NDArray[np.float64]


def _pairs(boxes: NDArray[np.float64], labels: NDArray[np.int64], truth: Boxes, part: slice) -> _Pairs:
    offsets = truth.offsets[part.start : part.stop + 1]
    image = owner(offsets)
    rows = np.arange(offsets[0], offsets[-1])
    slot = rows - offsets[image]
    width = int(np.diff(offsets).max(initial=0))
    objects = np.zeros((len(offsets) - 1, width, 4), np.float64)
    object_labels = np.full((len(offsets) - 1, width), -2, np.int64)  # differs from the padding of detections
    difficult = np.zeros((len(offsets) - 1, width), np.bool_)
    objects[image, slot] = truth.xyxy[rows]
    object_labels[image, slot] = truth.labels[rows]
    difficult[image, slot] = truth.difficult[rows]
    overlap = coco_overlap = iou(boxes, objects)  # (B, K, G)
    if truth.crowds:
        coco_overlap = np.where(difficult[:, None, :], share(boxes, objects), overlap)
    other = labels[:, :, None] != object_labels[:, None, :]
    return _Pairs(
        np.where(other, -1.0, overlap),
        np.where(other, -1.0, coco_overlap),
        difficult,
        areas(boxes),
        areas(objects),
    )


def _inside(area: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.bool_]:
    return (area >= limits[0]) & (area <= limits[1])


def _shared(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    corner = np.maximum(a[:, :, None, :2], b[:, None, :, :2])
    side = np.clip(np.minimum(a[:, :, None, 2:], b[:, None, :, 2:]) - corner, 0, None)
    shared: NDArray[np.float64] = side[..., 0] * side[..., 1]
    return shared


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of (B, K, 4) and (B, G, 4) boxes: (B, K, G), 0 where the union has no area."""
    shared = _shared(a, b)  # (B, K, G)
    union = areas(a)[:, :, None] + areas(b)[:, None, :] - shared
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def share(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each of the boxes (B, K, 4) that lies on each of (B, G, 4): (B, K, G), 0 without an area."""
    shared, own = _shared(a, b), areas(a)[:, :, None]
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def _match_coco(pairs: _Pairs, area: tuple[float, float]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Matched and ignored (B, K, T), one rank of all images and thresholds at a time."""
    overlap, difficult = pairs.coco_overlap, pairs.difficult
    images, ranks, width = overlap.shape
    counts = len(IOU_THRESHOLDS)
    matched = np.zeros((images, ranks, counts), np.bool_)
    ignored = np.broadcast_to(~_inside(pairs.detection_areas, area)[..., None], matched.shape).copy()
    if width == 0:
        return matched, ignored
    inside = _inside(pairs.object_areas, area)
    free = np.broadcast_to((~difficult & inside)[:, None, :], (images, counts, width)).copy()  # (B, T, G)
    # What makes a detection ignored: difficult objects as often as they like, those of another size once.
    excuses = np.broadcast_to((difficult | ~inside)[:, None, :], (images, counts, width)).copy()
    once = ~difficult[:, None, :]
    batch = np.arange(images)[:, None]
    column = np.arange(counts)[None, :]
    for rank in range(ranks):
        iou = overlap[:, rank, None, :]  # (B, 1, G)
        reaches = iou >= IOU_THRESHOLDS[None, :, None]  # (B, T, G)
        hit, best = _last_best(np.where(reaches & free, iou, -1.0))
        matched[:, rank] = hit
        free[batch, column, best] &= ~hit
        excused, best = _last_best(np.where(reaches & excuses, iou, -1.0))
        excused &= ~hit
        excuses[batch, column, best] &= ~(excused & np.take_along_axis(once, best[..., None], 2)[..., 0])
        ignored[:, rank] = ~hit & (ignored[:, rank] | excused)
    return matched, ignored


def _last_best(candidates: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Whether there is a candidate (B, T) among (B, T, G), and which: the last of equals, as in COCO."""
    best = candidates.shape[2] - 1 - candidates[:, :, ::-1].argmax(2)
    return np.take_along_axis(candidates, best[..., None], 2)[..., 0] >= 0, best


def _match_voc(
    overlap: NDArray[np.float64], difficult: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Matched and ignored (B, K, 1) by VOCevaldet.m: the best object counts even if it is taken."""
    images, ranks, width = overlap.shape
    matched = np.zeros((images, ranks, 1), np.bool_)
    if width == 0:
        return matched, np.zeros_like(matched)
    best = overlap.argmax(2)  # (B, K)
    reaches = np.take_along_axis(overlap, best[..., None], 2)[..., 0] >= VOC_THRESHOLD
    excused = np.take_along_axis(difficult, best, 1)  # (B, K)
    free = np.ones((images, width), np.bool_)
    batch = np.arange(images)
    for rank in range(ranks):
        hit = reaches[:, rank] & ~excused[:, rank] & free[batch, best[:, rank]]
        matched[:, rank, 0] = hit
        free[batch, best[:, rank]] &= ~hit
    return matched, (reaches & excused)[..., None]
