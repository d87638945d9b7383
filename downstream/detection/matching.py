"""Which detections find an object: greedy matching as COCO and as the VOC development kit do it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.protocol import Rows
from pretext.data.dataset import Boxes

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds .5:.05:.95; the last axis of `matched` and `ignored`."""

VOC_THRESHOLD = 0.5
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


def detection_rows(detections: Detections, truth: Boxes, classes: int, max_detections: int = 100) -> Rows:
    """Match detections to objects of the same image and class, best score first.

    COCO (`matched`, `ignored`): a detection takes the free object of highest IoU at or above the
    threshold (the later one on a tie); where no regular object is free, a difficult one makes it ignored.
    VOC (`voc_matched`, `voc_ignored`): only the object of highest IoU counts (the earlier one on a tie),
    taken or not. Difficult objects, as in VOC, excuse any number of detections and are never counted.

    Args:
        detections: of the same N images as `truth`.
        truth: the objects.
        classes: number of classes C; labels lie in [0, C).
        max_detections: kept per image and class, as in pycocotools.

    Returns:
        scores (N, K) float32; classes (N, K) int64, −1 = padding; matched, ignored (N, K, 10) bool;
        voc_matched, voc_ignored (N, K, 1) bool; targets (N, C) int64, counts of objects that are not
        difficult; image (N,) int64, the position in the split, by which equal scores are ordered.

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

    outcome = {
        "matched": np.zeros((images, width, len(IOU_THRESHOLDS)), np.bool_),
        "ignored": np.zeros((images, width, len(IOU_THRESHOLDS)), np.bool_),
        "voc_matched": np.zeros((images, width, 1), np.bool_),
        "voc_ignored": np.zeros((images, width, 1), np.bool_),
    }
    for first in range(0, images, _CHUNK):
        part = slice(first, min(first + _CHUNK, images))
        overlap, difficult = _overlaps(boxes[part], labels[part], truth, part)
        outcome["matched"][part], outcome["ignored"][part] = _match_coco(overlap, difficult)
        outcome["voc_matched"][part], outcome["voc_ignored"][part] = _match_voc(overlap, difficult)
    return {
        "scores": scores,
        "classes": labels,
        **outcome,
        "targets": count_targets(truth, classes),
        "image": np.arange(images),
    }


def count_targets(truth: Boxes, classes: int) -> NDArray[np.int64]:
    """Objects that are not difficult, by image and class: (N, C) int64."""
    counts = np.zeros((len(truth.offsets) - 1, classes), np.int64)
    regular = ~truth.difficult
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
        raise ValueError(f"detections of image {image} have a score or a box that is not finite")


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


def _overlaps(
    boxes: NDArray[np.float64], labels: NDArray[np.int64], truth: Boxes, part: slice
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """IoU (B, K, G) of detections and padded objects, −1 across classes; difficult (B, G)."""
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
    overlap = iou(boxes, objects)  # (B, K, G)
    overlap[labels[:, :, None] != object_labels[:, None, :]] = -1.0
    return overlap, difficult


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of (B, K, 4) and (B, G, 4) boxes: (B, K, G), 0 where the union has no area."""
    corner = np.maximum(a[:, :, None, :2], b[:, None, :, :2])
    side = np.clip(np.minimum(a[:, :, None, 2:], b[:, None, :, 2:]) - corner, 0, None)
    shared = side[..., 0] * side[..., 1]  # (B, K, G)
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    union = area_a[:, :, None] + area_b[:, None, :] - shared
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _match_coco(
    overlap: NDArray[np.float64], difficult: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Matched and ignored (B, K, T), one rank of all images and thresholds at a time."""
    images, ranks, width = overlap.shape
    matched = np.zeros((images, ranks, len(IOU_THRESHOLDS)), np.bool_)
    ignored = np.zeros_like(matched)
    if width == 0:
        return matched, ignored
    free = np.broadcast_to(~difficult[:, None, :], (images, len(IOU_THRESHOLDS), width)).copy()  # (B, T, G)
    thresholds = IOU_THRESHOLDS[None, :, None]
    batch = np.arange(images)[:, None]
    column = np.arange(len(IOU_THRESHOLDS))[None, :]
    for rank in range(ranks):
        iou = overlap[:, rank, None, :]  # (B, 1, G)
        reaches = iou >= thresholds  # (B, T, G)
        candidate = np.where(reaches & free, iou, -1.0)
        # The last of equal overlaps wins, as in pycocotools: search from the end.
        best = width - 1 - candidate[:, :, ::-1].argmax(2)  # (B, T)
        hit = candidate[batch, column, best] >= 0
        matched[:, rank] = hit
        free[batch, column, best] &= ~hit
        ignored[:, rank] = ~hit & (reaches & difficult[:, None, :]).any(2)
    return matched, ignored


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
