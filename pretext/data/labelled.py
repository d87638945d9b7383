"""Examples on their way into a pack, and a pack on its way out as a split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import NAMED, Boxes, Pixels, Remark, Split, merged
from pretext.data.decode import SKIP_SHARE, BadImage, Skips
from pretext.data.pack import (
    ArrayWriter,
    Progress,
    mapped,
    packed,
    read_values,
    require_space,
    silent,
    write_values,
)
from pretext.data.pixels import Packed, colourless, image_digest
from pretext.data.split import make_split

T = TypeVar("T")

REMARKS = "remarks.json"
"""What was remarked on the images of a pack; not there where nothing was."""

VERSION = 1
"""Of what lies in a pack; a change of decoding, resizing or layout raises it and packs anew."""


class ExampleBoxes(NamedTuple):
    """Boxes of one image: xyxy (K, 4) float32 in its pixels, labels (K,) int64, difficult (K,) bool."""

    xyxy: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


class Annotated(NamedTuple):
    """Boxes of one image as an annotation gives them, and what was left out of it or is odd in it."""

    boxes: ExampleBoxes
    remarks: tuple[Remark, ...] = ()


def dropped(why: str, title: str) -> Remark:
    """On a box that is left out: because it is so."""
    return Remark(f"boxes {why}", 1, (Path(title).name,), one=f"box {why}")


def without_size(title: str) -> Remark:
    """On an annotation that does not say the size of its image, which the image does itself."""
    return Remark(
        "annotations without a size, the images' is taken",
        1,
        (Path(title).name,),
        one="annotation without a size, the image's is taken",
        left_out=False,
    )


class Labels(NamedTuple):
    """Whatever labels one image has: a class or a multi-hot vector (C,) uint8, boxes, a mask (H, W) uint8.

    remarks: on this image; those of one kind are added up over a split, see `merged`.
    """

    label: int | NDArray[np.uint8] | None = None
    boxes: ExampleBoxes | None = None
    mask: NDArray[np.uint8] | None = None
    remarks: tuple[Remark, ...] = ()


class Example(NamedTuple):
    """One decoded image (H, W, 3) uint8 with its labels, see `Labels`."""

    pixels: NDArray[np.uint8]
    label: int | NDArray[np.uint8] | None = None
    boxes: ExampleBoxes | None = None
    mask: NDArray[np.uint8] | None = None
    remarks: tuple[Remark, ...] = ()


class Examples(NamedTuple):
    """`total` examples by position; `read` is called from several threads and may raise BadImage."""

    total: int
    read: Callable[[int], Example]


class SplitWriter:
    """Writes up to `expect` examples of one size and one kind into a folder, as `open_split` reads them."""

    def __init__(self, folder: Path, expect: int) -> None:
        self._folder = folder
        self._expect = expect
        self._streams: dict[str, ArrayWriter] = {}
        self._labels: list[Any] = []
        self._boxes: list[ExampleBoxes] = []
        self._first: Labels | None = None
        self._remarks: tuple[Remark, ...] = ()

    def add(self, example: Example) -> None:
        """Append one example; it must have the labels that the first one had."""
        image = example.pixels
        rows = {"pixels": image, "digests": image_digest(image), "colourless": colourless(image[None])[0]}
        self.add_rows(rows, Labels(*example[1:]))

    def add_rows(self, rows: Mapping[str, Any], labels: Labels) -> None:
        """Append one row to each of the arrays `rows`, and the labels of the image they are of."""
        rows = {name: np.asarray(row) for name, row in rows.items()}
        if labels.mask is not None:
            rows["masks"] = labels.mask
        if self._first is None:
            self._first = labels
            one = sum(row.nbytes for row in rows.values())
            require_space(self._folder, self._expect * one, f"{self._expect} images")
        for what in ("label", "boxes", "mask"):
            if (getattr(labels, what) is None) != (getattr(self._first, what) is None):
                raise ValueError(f"some examples have a {what}, some have none")
        for name, row in rows.items():
            self._append(name, row)
        if labels.remarks:
            self._remarks = merged([*self._remarks, *labels.remarks])
        if labels.label is not None:
            self._labels.append(labels.label)
        if labels.boxes is not None:
            self._boxes.append(labels.boxes)

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as streams:  # each is closed, even where another one cannot be
            for stream in self._streams.values():
                streams.push(stream)
        if error is None:
            for name, array in self._small().items():
                # Not `np.save`: of a short array that finds the disk full it says nothing.
                with ArrayWriter(self._folder / f"{name}.npy", array.shape[1:], array.dtype) as writer:
                    writer.append(array)
            if self._remarks:
                write_values(self._folder / REMARKS, [asdict(remark) for remark in self._remarks])

    def _append(self, name: str, row: NDArray[Any]) -> None:
        if name not in self._streams:
            self._streams[name] = ArrayWriter(self._folder / f"{name}.npy", row.shape, row.dtype)
        self._streams[name].append(row[None])

    def _small(self) -> dict[str, NDArray[Any]]:
        if self._first is None:
            raise ValueError("a split needs at least one image")
        arrays: dict[str, NDArray[Any]] = {}
        if self._labels:
            single = np.ndim(self._labels[0]) == 0
            arrays["labels"] = np.array(self._labels, np.int64 if single else np.uint8)
        if self._boxes:
            counts = [len(boxes.labels) for boxes in self._boxes]
            arrays["offsets"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            arrays["xyxy"] = np.concatenate([boxes.xyxy for boxes in self._boxes]).astype(np.float32)
            arrays["box_labels"] = np.concatenate([boxes.labels for boxes in self._boxes]).astype(np.int64)
            arrays["difficult"] = np.concatenate([boxes.difficult for boxes in self._boxes]).astype(np.bool_)
        return arrays


def pack_split(
    cache: str | Path,
    name: str,
    identity: Mapping[str, object],
    source: Callable[[], Examples],
    *,
    skip_bad: bool = False,
    skip_share: float = SKIP_SHARE,
    progress: Progress = silent,
) -> Path:
    """Decode examples into a pack, once; return its folder.

    Args:
        cache, name, identity: see `packed`; the version of the layout and `skip_bad` join the identity.
        source: opens the files; called only if the pack is not there.
        skip_bad, skip_share: skip bad images, at most that share, see `Skips`; their names are kept in the
            pack. The share says when to give up, not what is packed, and is no part of the identity.
        progress: is told how many are done.
    """

    def build(part: Path) -> None:
        total, read = source()
        skips = Skips(total, skip_bad, skip_share)
        with SplitWriter(part, total) as writer:
            for done, example in enumerate(in_order(read, total), 1):
                if isinstance(example, BadImage):
                    skips.add(example)
                else:
                    writer.add(example)
                progress(f"packing {name}", done, total)
        write_skipped(part, skips)

    return packed(cache, name, {**identity, "version": VERSION, "skip_bad": skip_bad}, build)


def open_split(folder: Path, name: str) -> Split:
    """The split that lies in a pack: pixels and masks mapped, the rest read."""
    arrays = mapped(folder)
    return labelled_split(name, Packed(np.asarray(arrays["pixels"]), np.array(arrays["digests"])), arrays)


def labelled_split(name: str, pixels: Pixels, arrays: Mapping[str, NDArray[Any]]) -> Split:
    """A split of these images with the labels among the arrays of a pack: masks mapped, the rest read."""
    small = {key: np.array(value) for key, value in arrays.items() if key not in ("pixels", "masks")}
    boxes = None
    if "offsets" in small:
        boxes = Boxes(small["offsets"], small["xyxy"], small["box_labels"], small["difficult"])
    return make_split(
        name,
        pixels,
        labels=small.get("labels"),
        boxes=boxes,
        masks=np.asarray(arrays["masks"]) if "masks" in arrays else None,
        colourless=small.get("colourless"),
    )


def write_skipped(folder: Path, skips: Skips) -> None:
    """Keep what was skipped in a pack, for `skipped`."""
    write_values(folder / "skipped.json", [str(error) for error in skips.bad])


def skipped(folder: Path, name: str) -> tuple[str, ...]:
    """A note on the images that a pack left out, or none."""
    bad = _skipped(folder)
    return (f"{name}: {len(bad)} bad images skipped: {'; '.join(bad)}",) if bad else ()


def remarked(folder: Path) -> tuple[Remark, ...]:
    """What was remarked on the images of a pack, those that were skipped first."""
    bad = _skipped(folder)
    first = (Remark("skipped", len(bad), tuple(Path(error).name for error in bad[:NAMED])),) if bad else ()
    path = folder / REMARKS
    if not path.is_file():
        return first
    found = read_values(path)
    return (*first, *(Remark(**{**remark, "names": tuple(remark["names"])}) for remark in found))


def _skipped(folder: Path) -> list[str]:
    found: list[str] = read_values(folder / "skipped.json")
    return found


def in_order(read: Callable[[int], T], count: int) -> Iterator[T | BadImage]:
    """What `read` returns for 0 … count - 1, or the BadImage that it raises; it runs in several threads."""

    def attempt(position: int) -> T | BadImage:
        try:
            return read(position)
        except BadImage as error:
            return error

    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, count, 16 * threads):  # few at a time: decoded images wait in memory
            yield from pool.map(attempt, range(start, min(start + 16 * threads, count)))
