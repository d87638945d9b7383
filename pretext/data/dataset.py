"""A labelled image set with its three splits, as every reader returns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Mask value of pixels that have no label."""


class Pixels(Protocol):
    """Images by position: a (memory-mapped) uint8 array, or a reader that decodes on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Return (B, H, W, 3) uint8 RGB for an index array or a slice."""
        ...


@dataclass(frozen=True)
class Boxes:
    """Boxes of all images of a split, ragged: image i owns rows `offsets[i]:offsets[i + 1]`.

    xyxy: (M, 4) float32 in pixels, 0 ≤ x1 < x2 ≤ W; labels: (M,) int64 from 0;
    difficult: (M,) bool, objects that VOC neither rewards nor punishes. crowds: whether those are COCO's
    crowds, of which a detection overlaps as much as the share of it that lies on them.
    """

    offsets: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowds: bool = False

    def of(self, image: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Boxes (K, 4), labels (K,), difficult (K,) of one image."""
        rows = slice(int(self.offsets[image]), int(self.offsets[image + 1]))
        return self.xyxy[rows], self.labels[rows], self.difficult[rows]


@dataclass(frozen=True)
class Split:
    """One split. Whatever labels the set lacks are None.

    pixels: (N, H, W, 3) uint8 RGB. labels: (N,) int64 for one class an image, (N, C) uint8 multi-hot
    for several. masks: (N, H, W) uint8, class index with 0 = background, IGNORE where unlabelled.
    colourless: (N,) bool, images without colour. digest: content hash that names the split.
    """

    name: str
    pixels: Pixels
    digest: str
    labels: NDArray[Any] | None = None
    boxes: Boxes | None = None
    masks: NDArray[np.uint8] | None = None
    colourless: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class DataSet:
    """A named set of images. Names list the classes that labels, boxes and masks index.

    `mask_names[0]` is the background. Test images take part in nothing that is fitted.
    """

    name: str
    train: Split
    val: Split
    test: Split
    label_names: tuple[str, ...] = ()
    box_names: tuple[str, ...] = ()
    mask_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}
