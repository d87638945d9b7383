"""A part of a split, as a split of its own with a digest of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import Boxes, Pixels, Split


@dataclass(frozen=True)
class Chosen:
    """The images `index` of `pixels`, read when asked for."""

    pixels: Pixels
    index: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return (len(self.index), *self.pixels.shape[1:])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Return (B, H, W, 3) uint8 RGB for an index array or a slice."""
        return self.pixels[self.index[index]]


def subset(split: Split, index: NDArray[np.int64]) -> Split:
    """The examples `index` of a split, with all their labels.

    Raises:
        IndexError: a position outside the split.
    """
    index = np.asarray(index, dtype=np.int64)
    if index.size and not (index.min() >= 0 and index.max() < len(split)):
        raise IndexError(
            f"split {split.name!r} has {len(split)} examples; asked for {index.min()}…{index.max()}"
        )
    content = hashlib.sha256(f"{split.digest} {len(index)} ".encode() + index.tobytes())
    return Split(
        name=split.name,
        pixels=Chosen(split.pixels, index),
        digest=content.hexdigest(),
        labels=None if split.labels is None else split.labels[index],
        boxes=None if split.boxes is None else _boxes(split.boxes, index),
        masks=None if split.masks is None else split.masks[index],
        colourless=None if split.colourless is None else split.colourless[index],
    )


def limit(split: Split, examples: int | None) -> Split:
    """At most `examples` of a split, drawn by its digest: always the same, a smaller draw within a larger.

    Raises:
        ValueError: fewer than one example asked for.
    """
    if examples is None or examples >= len(split):
        return split
    if examples < 1:
        raise ValueError(f"split {split.name!r} cannot be limited to {examples} examples")
    return subset(split, np.sort(digest_generator(split).permutation(len(split))[:examples]))


def digest_generator(split: Split) -> np.random.Generator:
    """A generator that depends on the content of the split and on nothing else."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(split.digest.encode()).digest()[:8], "little"))


def _boxes(boxes: Boxes, index: NDArray[np.int64]) -> Boxes:
    counts = np.diff(boxes.offsets)[index]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    starts = np.repeat(boxes.offsets[index] - offsets[:-1], counts)
    rows = np.arange(offsets[-1]) + starts
    return Boxes(offsets, boxes.xyxy[rows], boxes.labels[rows], boxes.difficult[rows])
