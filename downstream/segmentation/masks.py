"""Masks: checks before anything is fitted, rows of what was predicted, and their metrics."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from downstream.metrics.bootstrap import Additive
from downstream.metrics.scores import class_iou, confusion, miou, pixel_accuracy
from downstream.protocol import Measure, Metric, Predictions, fractions
from pretext.data.dataset import IGNORE, Split

CHUNK = 500

mean_iou = Additive(lambda rows: rows["confusion"], lambda total, examples: miou(total[None]))
"""Mean intersection over union of rows {"confusion": (N, K, K)}, over classes in target or prediction."""

accuracy = Additive(lambda rows: rows["confusion"], lambda total, examples: pixel_accuracy(total[None]))
"""Share of labelled pixels that are right, of rows {"confusion": (N, K, K)}."""


def masks_of(split: Split) -> NDArray[np.uint8]:
    """The masks (N, H, W) of a split.

    Raises:
        ValueError: no masks, or of another number or size than the images; names the split.
    """
    if split.masks is None:
        raise ValueError(f"split {split.name!r} has no masks: segmentation needs some")
    images = tuple(split.pixels.shape[:3])
    if tuple(split.masks.shape) != images:
        raise ValueError(
            f"split {split.name!r}: masks are {tuple(split.masks.shape)}, images {images}; a mask must have "
            "the height and width of its image"
        )
    return split.masks


def fitted_classes(train: Split) -> int:
    """Number of classes, background included, that a head fitted on `train` has.

    Raises:
        ValueError: as `masks_of`; no class but the background, or a class without a pixel in train.
    """
    counts = _pixel_counts(masks_of(train))
    counts[IGNORE] = 0
    classes = int(np.flatnonzero(counts).max(initial=0)) + 1
    missing = np.flatnonzero(counts[:classes] == 0)
    if classes < 2 or missing.size:
        listed = ", ".join(map(str, missing)) if missing.size else "1"
        found = ", ".join(map(str, np.flatnonzero(counts))) or "none"
        raise ValueError(
            f"split {train.name!r} has no pixel of class {listed}: it cannot be learned; its masks hold "
            f"{found} and {IGNORE}, which means unlabelled"
        )
    return classes


def check_masks(train: Split, *held: Split) -> None:
    """Whether a head fitted on `train` can be, and can be scored on the splits `held`.

    Raises:
        ValueError: as `fitted_classes` and `check_against`; a split to score without a labelled pixel.
    """
    classes = fitted_classes(train)
    for split in held:
        if not _pixel_counts(check_against(split, classes))[:IGNORE].any():
            raise ValueError(f"split {split.name!r} has no labelled pixel: IoU is undefined")


def check_against(split: Split, classes: int) -> NDArray[np.uint8]:
    """The masks of a split that is scored with a head of `classes` classes.

    Raises:
        ValueError: as `masks_of`, or a class that the head has not; names the image.
    """
    masks = masks_of(split)
    for start in range(0, len(masks), CHUNK):
        part = np.asarray(masks[start : start + CHUNK])
        wrong = (part >= classes) & (part != IGNORE)
        if wrong.any():
            image, row, column = np.argwhere(wrong)[0]
            found = part[image, row, column]
            raise ValueError(
                f"split {split.name!r}: the mask of image {start + image} has class {found}; "
                f"train has {classes} classes, and {IGNORE} means unlabelled"
            )
    return masks


def segmentation_metrics(split: Split) -> dict[str, Measure]:
    """Metrics of rows {"confusion": (N, K, K)}: mIoU, pixel accuracy, IoU of each class of the split."""
    counts = _pixel_counts(masks_of(split))
    present = [k for k in np.flatnonzero(counts).tolist() if k != IGNORE]
    by_class: dict[str, Metric] = {f"IoU_{k}": partial(_class_iou, k) for k in present}
    return fractions({"mIoU": mean_iou, "pixel_accuracy": accuracy, **by_class})


def upsampled_classes(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """The class of each pixel, (B, H, W), from logits (B, K, h, w) upsampled bilinearly."""
    return F.interpolate(logits, size, mode="bilinear", align_corners=False).argmax(1)


def confusion_of(prediction: Tensor, masks: NDArray[np.uint8], classes: int) -> NDArray[np.uint32]:
    """Confusion matrices (B, K, K) of predicted classes (B, H, W)."""
    return confusion(prediction.cpu().numpy(), np.asarray(masks), classes)


def image_size(split: Split) -> tuple[int, int]:
    """Height and width of the split's images."""
    height, width = split.pixels.shape[1:3]
    return int(height), int(width)


def _pixel_counts(masks: NDArray[np.uint8]) -> NDArray[np.int64]:
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(masks), CHUNK):
        counts += np.bincount(np.asarray(masks[start : start + CHUNK]).ravel(), minlength=256)
    return counts


def _class_iou(k: int, rows: Predictions) -> float:
    return float(class_iou(rows["confusion"])[k])
