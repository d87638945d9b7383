"""STL-10 (Coates, Lee, Ng 2011): 96×96 photographs, few with one of 10 classes, many without labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import STL10

from pretext.data.dataset import DataSet
from pretext.data.download import fetch_into
from pretext.data.labelled import Example, Examples
from pretext.data.lists import read_lines
from pretext.data.pack import Progress, silent
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, file_identity, folder_identity, locate

SIZE = 96
_PLACE = "stl10_binary"
_OBTAIN = "data.download=true fetches it, or unpack stl10_binary.tar.gz there."


def stl10(
    root: str | None,
    cache: str,
    val: int = 500,
    limit: int | None = None,
    *,
    unlabelled: bool = False,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read STL-10 as one of two data sets: to pretrain on the one, and judge on the other.

    The published test images are the test images of both; val is carved out of train.

    Args:
        root: folder with `stl10_binary`.
        cache: folder of packs.
        val: images carved out of train.
        limit: at most so many images of train and val together, and of test, the first ones.
        unlabelled: train and val are out of the 100,000 images without labels, and test has none either;
            else they are the 5,000 with labels.
        download: fetch the set where it is missing.
        skip_bad, progress: as in other readers; no image here can be bad.

    Raises: MissingData, BadArchive.
    """
    fetch = partial(
        fetch_into,
        place=_PLACE,
        name="stl10",
        fetch=lambda part: STL10(part, split="test", download=True),
    )
    name = "stl10_unlabelled" if unlabelled else "stl10"
    folder = locate(root, (_PLACE,), name, _OBTAIN, fetch if download else None)
    names = () if unlabelled else _names(_present(folder / "class_names.txt"))
    part = "unlabeled" if unlabelled else "train"
    return published(
        name,
        cache,
        _source(folder, part, names, limit),
        _source(folder, "test", names, limit),
        val,
        label_names=names,
        notes=("images without labels; test has them in the set stl10",) if unlabelled else (),
        skip_bad=skip_bad,
        progress=progress,
    )


def _source(folder: Path, part: str, names: tuple[str, ...], limit: int | None) -> Source:
    images = _present(folder / f"{part}_X.bin")
    tags = _present(folder / f"{part}_y.bin") if names else None

    def examples() -> Examples:
        pixels = _pixels(images)[:limit]
        labels = None if tags is None else _labels(tags, len(names))
        if labels is not None and (len(labels) < len(pixels)):
            raise BadArchive(f"{tags} holds {len(labels)} labels, {images} more images")

        def read(position: int) -> Example:
            label = None if labels is None else int(labels[position])
            return Example(np.ascontiguousarray(pixels[position]), label)

        return Examples(len(pixels), read)

    identity = {
        "images": folder_identity(folder, [images]),  # 2.8 GB: not by content
        "labels": None if tags is None else file_identity(tags),
        "limit": limit,
    }
    return Source(identity, examples)


def _names(path: Path) -> tuple[str, ...]:
    return tuple(read_lines(path.read_bytes(), str(path)))


def _present(path: Path) -> Path:
    if not path.is_file():
        raise BadArchive(f"{path} is missing")
    return path


def _pixels(path: Path) -> NDArray[np.uint8]:
    """Images (N, 96, 96, 3), mapped; the file has planes of columns."""
    one = 3 * SIZE * SIZE
    if path.stat().st_size % one or not path.stat().st_size:
        raise BadArchive(f"{path} does not hold whole images of {SIZE}×{SIZE}")
    planes = np.memmap(path, np.uint8, mode="r").reshape(-1, 3, SIZE, SIZE)  # (N, 3, W, H)
    return np.asarray(planes.transpose(0, 3, 2, 1))


def _labels(path: Path, classes: int) -> NDArray[np.int64]:
    labels = np.fromfile(path, np.uint8).astype(np.int64) - 1
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
        raise BadArchive(f"{path} holds labels outside 1 to {classes}")
    return labels
