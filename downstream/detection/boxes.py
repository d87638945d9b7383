"""Boxes on their way in and out of torchvision's detectors: checks, targets, detections."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.detection.matching import Detections
from pretext.data.dataset import Boxes, Split

Target = dict[str, Tensor]
"""An image: `boxes` (K, 4) float32 xyxy in pixels, `labels` (K,) int64; when detected also `scores` (K,).

Where a detector is given regions instead of finding its own, `proposals` (P, 4) are among the targets.
"""


def boxes_of(split: Split) -> Boxes:
    """The boxes of a split.

    Raises:
        ValueError: no boxes, another number of images, a negative label, or a box that has no area, lies
            outside its image or is not finite; names the split and the image.
    """
    where = f"split {split.name!r}"
    boxes = split.boxes
    if boxes is None:
        raise ValueError(f"{where} has no boxes: detection needs some")
    if len(boxes.offsets) != len(split) + 1:
        raise ValueError(f"{where}: boxes of {len(boxes.offsets) - 1} images for {len(split)} images")
    height, width = split.pixels.shape[1:3]
    low, high = boxes.xyxy[:, :2], boxes.xyxy[:, 2:]
    faults = {
        "is not finite": ~np.isfinite(boxes.xyxy).all(1),
        "has no area": ~(low < high).all(1),
        f"lies outside its image of {width} × {height}": (low < 0).any(1) | (high > [width, height]).any(1),
        "has a negative label": boxes.labels < 0,
    }
    for fault, bad in faults.items():
        if bad.any():
            row = int(bad.argmax())
            image = int(np.searchsorted(boxes.offsets, row, side="right")) - 1
            box = ", ".join(f"{value:g}" for value in boxes.xyxy[row])
            raise ValueError(f"{where}: a box of image {image} {fault}: [{box}], label {boxes.labels[row]}")
    return boxes


def fitted_classes(train: Split) -> int:
    """Number of classes that a detector fitted on `train` has.

    Raises:
        ValueError: as `boxes_of`, or not one box.
    """
    labels = boxes_of(train).labels
    if len(labels) == 0:
        raise ValueError(f"split {train.name!r} has not one box: a detector cannot be fitted")
    return int(labels.max()) + 1


def check_boxes(train: Split, *held: Split) -> None:
    """Whether a detector fitted on `train` can be, and can be scored on the splits `held`.

    Raises:
        ValueError: as `fitted_classes` and `check_against`; a split with no object that counts.
    """
    classes = fitted_classes(train)
    for split in (train, *held):
        if check_against(split, classes).difficult.all():
            raise ValueError(f"split {split.name!r} has no object to find: average precision is undefined")


def check_against(split: Split, classes: int) -> Boxes:
    """The boxes of a split that is scored with a detector of `classes` classes.

    Raises:
        ValueError: as `boxes_of`, or a class that the detector has not.
    """
    boxes = boxes_of(split)
    if boxes.labels.max(initial=0) >= classes:
        row = int(np.argmax(boxes.labels >= classes))
        image = int(np.searchsorted(boxes.offsets, row, side="right")) - 1
        raise ValueError(
            f"split {split.name!r}: a box of image {image} has label {boxes.labels[row]}; "
            f"train has {classes} classes"
        )
    return boxes


class Targets:
    """All boxes of a split on one device, handed out by image as torchvision takes them.

    Difficult objects are trained on like any other, as most VOC detectors do; crowds are not, as in COCO.
    """

    def __init__(self, boxes: Boxes, device: torch.device) -> None:
        kept = ~boxes.difficult if boxes.crowds else np.ones(len(boxes.labels), np.bool_)
        self.offsets = np.append(0, np.cumsum(kept))[boxes.offsets].tolist()
        self.boxes = torch.from_numpy(boxes.xyxy[kept]).to(device)
        self.labels = torch.from_numpy(boxes.labels[kept]).to(device)

    def of(self, index: Iterable[int]) -> list[Target]:
        """Targets of these images."""
        rows = [slice(self.offsets[i], self.offsets[i + 1]) for i in index]
        return [{"boxes": self.boxes[r], "labels": self.labels[r]} for r in rows]


def mirror_targets(targets: list[Target], flips: Tensor, width: int) -> list[Target]:
    """Mirror left to right the boxes and proposals of images, `width` pixels wide, by `flips` (B,)."""
    pivot = targets[0]["boxes"].new_tensor([width, 0, width, 0]) if targets else torch.zeros(4)
    sign = pivot.new_tensor([-1, 1, -1, 1])
    mirrored = []
    for target, flip in zip(targets, flips.tolist(), strict=True):
        kinds = {"boxes", "proposals"} & set(target) if flip else set()
        mirrored.append({**target, **{k: (pivot + sign * target[k])[:, [2, 1, 0, 3]] for k in kinds}})
    return mirrored


def collect(found: Iterable[Target]) -> Detections:
    """Detections of consecutive images, as torchvision returns them, in one ragged array on the CPU."""
    images = list(found)
    counts = [len(image["scores"]) for image in images]

    def joined(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> NDArray[np.generic]:
        values = torch.cat([torch.zeros(shape), *(image[name].cpu() for image in images)])
        return np.asarray(values.to(dtype).numpy())

    return Detections(
        np.cumsum([0, *counts]),
        joined("boxes", (0, 4), torch.float32).astype(np.float32),
        joined("labels", (0,), torch.int64).astype(np.int64),
        joined("scores", (0,), torch.float32).astype(np.float32),
    )
