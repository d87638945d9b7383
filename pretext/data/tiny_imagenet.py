"""Tiny ImageNet-200: 64×64 photographs in 200 classes, one box an image (Stanford CS231n)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.data.archive import class_names, read_archive
from pretext.data.dataset import DataSet
from pretext.data.decode import BadImage, decode_rgb
from pretext.data.labelled import Annotated, Example, ExampleBoxes, Examples, dropped
from pretext.data.lists import read_lines
from pretext.data.pack import Progress, digest_of, silent
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, file_identity, folder_identity, locate
from pretext.data.walk import image_files

SIZE = 64
_OBTAIN = (
    "Put tiny_imagenet200_train.npz and tiny_imagenet200_val.npz there, "
    "or unpack the published tiny-imagenet-200.zip there."
)


class _Entry(NamedTuple):
    path: Path
    label: int
    box: tuple[int, ...]  # inclusive pixel positions, empty where none is given


def tiny_imagenet(
    root: str | None,
    cache: str,
    val: int = 4000,
    limit: int | None = None,
    *,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read Tiny ImageNet: single-label classes and class-agnostic boxes.

    The published validation images, the only ones with labels beside train, are test; val is carved out of
    train. Published boxes are inclusive pixel positions: 0 0 63 63 becomes 0 0 64 64. One without width or
    height is no label: its image has no box. The pool of train and val is class-balanced in order: image i
    has class i mod 200.

    Args:
        root: folder with the .npz pair or with `tiny-imagenet-200`.
        cache: folder of packs.
        val: images carved out of train.
        limit: at most so many images of the pool and of test, the first ones.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadImage, BadArchive.
    """
    place = locate(root, ("tiny-imagenet-200", "tiny_imagenet200_train.npz"), "tiny_imagenet", _OBTAIN)
    if place.is_dir():
        wnids = sorted(_lines(place / "wnids.txt"))
        names = _words(place / "words.txt", wnids)
        train = _folder(place, _train_entries(place, wnids), limit)
        test = _folder(place, _val_entries(place, wnids), limit)
    else:
        names = class_names(place)
        train = _archive(place, limit)
        test = _archive(locate(root, ("tiny_imagenet200_val.npz",), "tiny_imagenet", _OBTAIN), limit)
    return published(
        "tiny_imagenet",
        cache,
        train,
        test,
        val,
        label_names=names,
        box_names=("object",),
        notes=("the published validation images are test",),
        skip_bad=skip_bad,
        progress=progress,
    )


def _archive(path: Path, limit: int | None) -> Source:
    def open_archive() -> Examples:
        archive = read_archive(path)
        if "boxes" not in archive.extra:
            raise BadArchive(f"{path} lacks boxes")
        boxes = archive.extra["boxes"].astype(np.int64)

        def read(position: int) -> Example:
            pixels = archive.decode(position, SIZE)
            boxed, remarks = _box(boxes[position], f"{path}[{position}]")
            return Example(pixels, int(archive.labels[position]), boxed, remarks=remarks)

        return Examples(len(archive) if limit is None else min(limit, len(archive)), read)

    return Source({"archive": file_identity(path), "limit": limit}, open_archive)


def _folder(root: Path, entries: Sequence[_Entry], limit: int | None) -> Source:
    entries = entries[:limit]

    def read(position: int) -> Example:
        path, label, box = entries[position]
        pixels = decode_rgb(path)
        if pixels.shape != (SIZE, SIZE, 3):
            raise BadImage(str(path), f"is {pixels.shape[1]}×{pixels.shape[0]}, not {SIZE}×{SIZE}")
        boxed, remarks = _box(np.array(box, np.int64), str(path))
        return Example(pixels, label, boxed, remarks=remarks)

    labels = [(entry.label, entry.box) for entry in entries]
    files = folder_identity(root, [entry.path for entry in entries])
    identity = {"files": files, "labels": digest_of({"labels": labels})}
    return Source(identity, lambda: Examples(len(entries), read))


def _box(published_box: NDArray[np.int64], name: str) -> Annotated:
    given = published_box.astype(np.float32).reshape(-1, 4)
    box = given[(given[:, 2] > given[:, 0]) & (given[:, 3] > given[:, 1])]
    box[:, 2:] += 1
    boxes = ExampleBoxes(box, np.zeros(len(box), np.int64), np.zeros(len(box), np.bool_))
    return Annotated(boxes, (dropped("without extent", name),) * (len(given) - len(box)))


def _lines(table: Path) -> list[str]:
    return read_lines(table.read_bytes(), str(table))


def _words(path: Path, wnids: Sequence[str]) -> tuple[str, ...]:
    lines = (line.split("\t", 1) for line in _lines(path) if "\t" in line)
    words = dict(lines)
    return tuple(words.get(wnid, wnid) for wnid in wnids)


def _train_entries(root: Path, wnids: Sequence[str]) -> list[_Entry]:
    ranked = []
    for label, wnid in enumerate(wnids):
        folder = root / "train" / wnid
        boxes = _annotations(folder / f"{wnid}_boxes.txt", values=1)
        images = folder / "images"
        found = [path for path in image_files(images) if path.suffix == ".JPEG"] if images.is_dir() else []
        files = sorted(found, key=lambda path: int(path.stem.rsplit("_", 1)[1]))
        if not files:
            raise BadArchive(f"{folder}/images holds no .JPEG files")
        for rank, path in enumerate(files):
            ranked.append((rank, _Entry(path, label, _numbers(boxes.get(path.name, ()), path))))
    return [entry for _, entry in sorted(ranked, key=lambda pair: (pair[0], pair[1].label))]


def _val_entries(root: Path, wnids: Sequence[str]) -> list[_Entry]:
    index = {wnid: label for label, wnid in enumerate(wnids)}
    table = root / "val" / "val_annotations.txt"
    entries = []
    for name, (wnid, *box) in _annotations(table, values=2).items():
        if wnid not in index:
            raise BadArchive(f"{table}: {name} has class {wnid}, which wnids.txt does not list")
        path = root / "val" / "images" / name
        entries.append(_Entry(path, index[wnid], _numbers(box, table)))
    return entries


def _annotations(table: Path, values: int) -> dict[str, list[str]]:
    """Lines `file, value, …` by file; at least `values` of them."""
    rows = [line.split("\t") for line in _lines(table)]
    for number, row in enumerate(rows, 1):
        if len(row) <= values:
            raise BadArchive(f"{table}, line {number}: too few values")
    return {row[0]: row[1:] for row in rows}


def _numbers(values: Sequence[str], where: Path) -> tuple[int, ...]:
    if len(values) not in (0, 4) or not all(value.strip().isdigit() for value in values):
        raise BadArchive(f"{where}: expected a box of four positions, not {list(values)}")
    return tuple(int(value) for value in values)
