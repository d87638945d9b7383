"""A labelled image set with its three splits, as every reader returns it."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretext.names import shown

IGNORE = 255
"""Mask value of pixels that have no label."""

NAMED = 3
"""How many of what a remark counts are named at most."""

SHOWN = 6
"""Classes up to which `DataSet.summary` names them."""


class Pixels(typing.Protocol):
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
class Remark:
    """What a person should know of how a set was read, and is not told by its images.

    what: in words, those that follow the count if there is one; one: the same for a count of 1, where it
    differs. count: of how many, None where nothing is counted. names: of some of them, or reasons.
    left_out: whether it speaks of what is not in the set.
    """

    what: str
    count: int | None = None
    names: tuple[str, ...] = ()
    one: str | None = None
    left_out: bool = True

    def __str__(self) -> str:
        words = self.one if self.one is not None and self.count == 1 else self.what
        said = words if self.count is None else f"{self.count:,} {words}"
        some = [shown(name) for name in self.names[:NAMED]]
        if some and self.count is not None and self.count > len(some):
            some.append("…")
        return f"{said} ({', '.join(some)})" if some else said


def merged(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """One remark of each kind, in the order of the first of each: counts added, names joined."""
    found: dict[tuple[str, bool, bool], Remark] = {}
    for remark in remarks:
        kind = (remark.what, remark.left_out, remark.count is None)
        same = found.get(kind)
        if same is None:
            found[kind] = remark
            continue
        count = None if same.count is None or remark.count is None else same.count + remark.count
        names = tuple(dict.fromkeys((*same.names, *remark.names)))[:NAMED]
        found[kind] = replace(same, count=count, names=names)
    return tuple(found.values())


@dataclass(frozen=True)
class DataSet:
    """A named set of images. Names list the classes that labels, boxes and masks index.

    `mask_names[0]` is the background. Test images take part in nothing that is fitted. notes: how the set
    was read, whole; remarks: of that what `summary` says.
    """

    name: str
    train: Split
    val: Split
    test: Split
    label_names: tuple[str, ...] = ()
    box_names: tuple[str, ...] = ()
    mask_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def summary(self) -> str:
        """One line: classes, images of each split, what was left out and what else there is to know."""
        counts = ", ".join(f"{len(split):,} {name}" for name, split in self.splits.items())
        remarks = merged(self.remarks)
        without = "; ".join(str(remark) for remark in remarks if remark.left_out)
        other = "; ".join(str(remark) for remark in remarks if not remark.left_out)
        gray = self.train.colourless is not None and bool(self.train.colourless.all())
        parts = [
            _classes(self.label_names, self.box_names, self.mask_names[1:]),
            counts,
            *(["all of train is gray"] if gray else []),
            *([f"left out: {without}"] if without else []),
            *([other] if other else []),
        ]
        return " ".join(f"{self.name}: {' · '.join(parts)}".split())


def _classes(labels: tuple[str, ...], boxes: tuple[str, ...], masks: tuple[str, ...]) -> str:
    """Each distinct set of classes once, with what it is of where there are several."""
    of: dict[tuple[str, ...], list[str]] = {}
    for kind, names in (("labels", labels), ("boxes", boxes), ("masks", masks)):
        if names:
            of.setdefault(names, []).append(kind)
    if not of:
        return "no labels"
    said = []
    for names, kinds in of.items():
        number = f"{len(names)} class{'es' if len(names) > 1 else ''}"
        listed = f" ({', '.join(map(shown, names))})" if len(names) <= SHOWN else ""
        what = " and ".join([", ".join(kinds[:-1]), kinds[-1]] if kinds[1:] else kinds)
        said.append(number + listed if kinds == ["labels"] else f"{what} of {number}{listed}")
    return ", ".join(said)
