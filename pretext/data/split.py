"""Splits by content: digests, held-out images, subsets, and no image in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import Boxes, DataSet, Pixels, Remark, Split
from pretext.data.pixels import Packed, pixel_digests
from pretext.data.streamed import Streamed


class Leak(ValueError):
    """Two splits that share images."""


def make_split(
    name: str,
    pixels: Pixels,
    *,
    labels: NDArray[Any] | None = None,
    boxes: Boxes | None = None,
    masks: NDArray[np.uint8] | None = None,
    colourless: NDArray[np.bool_] | None = None,
) -> Split:
    """Build a split and its digest.

    Raises: ValueError where labels, boxes, masks or flags are not one an image or have the wrong form.
    """
    count = len(pixels)
    lengths = {
        "labels": None if labels is None else len(labels),
        "boxes": None if boxes is None else len(boxes.offsets) - 1,
        "masks": None if masks is None else len(masks),
        "colourless": None if colourless is None else len(colourless),
    }
    for what, length in lengths.items():
        if length not in (None, count):
            raise ValueError(f"split {name!r}: {count} images but {what} of {length}")
    if masks is not None and masks.shape[1:] != pixels.shape[1:3]:
        raise ValueError(f"split {name!r}: images are {pixels.shape[1:3]}, masks {masks.shape[1:]}")
    if boxes is not None:
        _check_boxes(name, boxes, pixels.shape[1:3])
    digest = _split_digest(pixels, labels, boxes, masks)
    return Split(name, pixels, digest, labels, boxes, masks, colourless)


def subset(split: Split, indices: NDArray[np.int64] | Sequence[int], name: str | None = None) -> Split:
    """The images `indices` of a split in that order, with all their labels and a digest of their own."""
    rows = np.asarray(indices, np.int64)
    if rows.ndim != 1 or ((rows < 0) | (rows >= len(split))).any():
        raise ValueError(f"indices must be positions 0 to {len(split) - 1} of split {split.name!r}")
    return make_split(
        split.name if name is None else name,
        _selectable(split.pixels).select(rows),
        labels=None if split.labels is None else np.asarray(split.labels[rows]),
        boxes=None if split.boxes is None else select_boxes(split.boxes, rows),
        masks=None if split.masks is None else np.asarray(split.masks[rows]),
        colourless=None if split.colourless is None else np.asarray(split.colourless[rows]),
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
    seed = int.from_bytes(hashlib.sha256(split.digest.encode()).digest()[:8], "little")
    drawn = np.random.default_rng(seed).permutation(len(split))[:examples]
    return subset(split, np.sort(drawn))


def select_boxes(boxes: Boxes, rows: NDArray[np.int64]) -> Boxes:
    """The boxes of the images `rows`, in that order."""
    counts = np.diff(boxes.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    at = np.repeat(np.asarray(boxes.offsets)[rows], counts) + within
    return replace(
        boxes,
        offsets=offsets,
        xyxy=np.asarray(boxes.xyxy[at]),
        labels=np.asarray(boxes.labels[at]),
        difficult=np.asarray(boxes.difficult[at]),
    )


def carve(pool: Split, count: int, name: str, rest: str = "train") -> tuple[Split, Split]:
    """Hold `count` images of a pool out, chosen by the digest of their pixels: (rest, held out).

    Who is held out depends on the images alone, not on their order. Where an image has one label, every
    class gives in proportion to its size (largest remainder); both parts keep the pool's order.
    """
    if not 0 < count < len(pool):
        raise ValueError(
            f"cannot hold {count} images out of the {len(pool)} of split {pool.name!r} as {name}: one at "
            "least has to be held out, and one to stay"
        )
    rank = pixel_digests(pool.pixels).view(">u8")[:, 0]
    single = pool.labels is not None and pool.labels.ndim == 1
    strata = np.asarray(pool.labels) if single else np.zeros(len(pool), np.int64)
    classes, sizes = np.unique(strata, return_counts=True)
    held = np.zeros(len(pool), np.bool_)
    for label, share in zip(classes, _shares(sizes, count), strict=True):
        members = np.flatnonzero(strata == label)
        held[members[np.argsort(rank[members], kind="stable")[:share]]] = True
    return subset(pool, np.flatnonzero(~held), rest), subset(pool, np.flatnonzero(held), name)


def drop_duplicates(split: Split, other: Split) -> tuple[Split, int]:
    """Leave out the images of `split` whose decoded pixels occur in `other`; also how many.

    Raises: Leak where all of them do.
    """
    shared = _shared(split, other)
    if not shared.any():
        return split, 0
    if shared.all():
        raise Leak(f"all {len(split)} images of split {split.name!r} occur in {other.name!r} too")
    return subset(split, np.flatnonzero(~shared)), int(shared.sum())


def check_disjoint(first: Split, second: Split) -> None:
    """Raise Leak if an image's decoded pixels occur in both splits."""
    shared = np.flatnonzero(_shared(first, second))
    if len(shared):
        raise Leak(
            f"{len(shared)} images of split {first.name!r} occur in {second.name!r} too: "
            f"positions {', '.join(map(str, shared[:5]))}{', …' if len(shared) > 5 else ''}"
        )


def three_splits(
    name: str,
    pool: Split,
    test: Split,
    val: int | Split,
    *,
    label_names: Sequence[str] = (),
    box_names: Sequence[str] = (),
    mask_names: Sequence[str] = (),
    notes: Sequence[str] = (),
    remarks: Sequence[Remark] = (),
) -> DataSet:
    """A data set from published training and test images.

    val: how many images are carved out of the training pool, or the published validation images. Training
    images that occur in test, or in val, are left out and counted in notes and remarks; so are published
    validation images that occur in test.

    Raises: Leak where nothing is left.
    """
    train, in_test = drop_duplicates(pool, test)
    dropped = [("training", "test", in_test)]
    if isinstance(val, Split):
        held, held_in_test = drop_duplicates(val, test)
        dropped.append(("validation", "test", held_in_test))
        origin = []
    else:
        train, held = carve(train, val, "val")
        origin = [f"val: {val} images carved out of train by pixel digest"]
    train, in_val = drop_duplicates(train, held)
    dropped.append(("training", "val", in_val))
    return DataSet(
        name,
        replace(train, name="train"),
        replace(held, name="val"),
        replace(test, name="test"),
        tuple(label_names),
        tuple(box_names),
        tuple(mask_names),
        (
            *notes,
            *origin,
            *(f"{n} {what} images left out: their pixels occur in {of}" for what, of, n in dropped if n),
        ),
        (
            *remarks,
            *(Remark(f"duplicates of {of}", n, one=f"duplicate of {of}") for _, of, n in dropped if n),
        ),
    )


def _shares(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    exact = sizes * (count / sizes.sum())
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    most_left = np.argsort(shares - exact, kind="stable")[: count - int(shares.sum())]
    shares[most_left] += 1
    return shares


def _shared(split: Split, other: Split) -> NDArray[np.bool_]:
    known = {row.tobytes() for row in pixel_digests(other.pixels)}
    return np.array([row.tobytes() in known for row in pixel_digests(split.pixels)], np.bool_)


def _selectable(pixels: Pixels) -> Packed | Streamed:
    if isinstance(pixels, Packed | Streamed):
        return pixels
    if isinstance(pixels, np.ndarray):
        return Packed(pixels, pixel_digests(pixels))
    raise TypeError(
        f"subsets are made of packed or streamed images or arrays, not of {type(pixels).__name__}"
    )


def _check_boxes(name: str, boxes: Boxes, size: tuple[int, ...]) -> None:
    low, high = boxes.xyxy[:, :2], boxes.xyxy[:, 2:]
    right = (low >= 0).all(1) & (low < high).all(1) & (high <= np.array(size[::-1])).all(1)
    if not right.all():
        row = int(np.flatnonzero(~right)[0])
        image = int(np.searchsorted(boxes.offsets, row, side="right")) - 1
        box = boxes.xyxy[row].tolist()
        raise ValueError(
            f"split {name!r}: box {box} of image {image} has no extent or leaves the image {size}"
        )


def _split_digest(
    pixels: Pixels, labels: NDArray[Any] | None, boxes: Boxes | None, masks: NDArray[np.uint8] | None
) -> str:
    parts: dict[str, NDArray[Any] | None] = {
        "pixels": pixel_digests(pixels),
        "labels": None if labels is None else labels.astype("<i8"),
        "masks": masks,
    }
    if isinstance(pixels, Streamed):  # digests of files do not say what is made of them
        parts["made"] = np.frombuffer(pixels.made.encode(), np.uint8)
    if boxes is not None:
        parts["offsets"] = boxes.offsets.astype("<i8")
        parts["xyxy"] = boxes.xyxy.astype("<f4")
        parts["box_labels"] = boxes.labels.astype("<i8")
        parts["difficult"] = boxes.difficult.astype(np.uint8)
    digest = hashlib.sha256()
    for what, array in parts.items():
        if array is not None:
            digest.update(f"{what}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
