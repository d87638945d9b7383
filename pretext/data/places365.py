"""Places365-Standard (Zhou et al. 2017): photographs of 365 kinds of scenes, as squares of 256 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torchvision.datasets import Places365

from pretext.data.dataset import DataSet
from pretext.data.download import fetch_into
from pretext.data.labelled import Labels
from pretext.data.pack import Progress, silent
from pretext.data.photographs import Encoded, Photographs, read_file
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, folder_identity, locate
from pretext.data.square import Square

_PLACE = "places365"
_IMAGES = "data_256_standard"
_OBTAIN = (
    "data.download=true fetches it (25 GB), or put the files of torchvision's Places365(small=True) there."
)


def places365(
    root: str | None,
    cache: str,
    size: int = 256,
    val: int = 36_500,
    *,
    stream: bool = True,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read Places365: single-label classes; the published validation images are test.

    Args:
        root: folder with `places365`, or with what torchvision puts there: the lists of files and the folders
            `data_256_standard` and `val_256`.
        cache: folder of packs.
        size: side of the squares in pixels, at most 256.
        val: images carved out of train.
        stream: decode images when they are asked for; else pack them, which takes 350 GB at 256 pixels.
        download: fetch the set where it is missing.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadArchive, BadImage.
    """
    fetch = partial(fetch_into, place=_PLACE, name="places365", fetch=_fetch)
    found = locate(root, (f"{_PLACE}/{_IMAGES}", _IMAGES), "places365", _OBTAIN, fetch if download else None)
    folder, square = found.parent, Square(size, upscale=False)
    train, test = (_read(folder, split) for split in ("train-standard", "val"))
    return published(
        "places365",
        cache,
        _source(folder, train.imgs, square),
        _source(folder, test.imgs, square),
        val,
        label_names=[name[3:] for name in sorted(train.class_to_idx, key=train.class_to_idx.__getitem__)],
        notes=(square.note(), "the published validation images are test"),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )


def _fetch(part: Path) -> None:
    folder = part / _PLACE
    folder.mkdir()
    for split in ("train-standard", "val"):
        Places365(folder, split=split, small=True, download=True)


def _read(folder: Path, split: str) -> Places365:
    try:
        return Places365(folder, split=split, small=True)
    except RuntimeError as error:
        raise BadArchive(f"{folder} does not hold the file lists of Places365 ({error})") from error


def _source(folder: Path, images: Sequence[tuple[str, int]], square: Square) -> Source:
    paths = [path for path, _ in images]
    try:
        files = folder_identity(folder, map(Path, paths))
    except FileNotFoundError as error:
        raise BadArchive(f"{error.filename} is listed but not there") from error

    def encoded(position: int) -> Encoded:
        return read_file(paths[position])

    def labels(position: int, height: int, width: int) -> Labels:
        return Labels(images[position][1])

    identity = {"files": files, **square.describe()}
    return Source(identity, lambda: Photographs(len(paths), encoded, square, labels))
