"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012): photographs of 37 breeds of cats and dogs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import OxfordIIITPet

from pretext.data.canvas import Canvas
from pretext.data.dataset import IGNORE, DataSet
from pretext.data.decode import decode_index
from pretext.data.download import fetch_into
from pretext.data.labelled import Labels
from pretext.data.lists import read_lines
from pretext.data.pack import Progress, silent
from pretext.data.photographs import Photographs, read_file
from pretext.data.published import Source, divided, published
from pretext.data.source import BadArchive, folder_identity, locate
from pretext.data.voc_xml import read_boxes

HEADS = ("cat", "dog")
MASKS = ("background", "pet")
_PLACE = "oxford-iiit-pet"
_OBTAIN = (
    f"data.download=true fetches it, or unpack images.tar.gz and annotations.tar.gz into {_PLACE} there."
)
_TRIMAP = np.full(256, -1, np.int16)
_TRIMAP[[1, 2, 3]] = 1, 0, IGNORE  # pet, background, "not classified": the outline


class _Entry(NamedTuple):
    image: str
    breed: int


def oxford_pets(
    root: str | None,
    cache: str,
    size: tuple[int, int] = (128, 128),
    val: int = 500,
    *,
    stream: bool = False,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read Oxford Pets: single-label breeds, and masks of pet and background whose outline is ignored.

    The published test images are test, val is carved out of trainval.

    Args:
        root: folder with `oxford-iiit-pet`.
        cache: folder of packs.
        size: height and width of the canvas that images of varied size are put on, see `Canvas`.
        val: images carved out of train.
        stream: decode images when they are asked for instead of packing them.
        download: fetch the set where it is missing.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadArchive, BadImage.
    """
    folder, canvas = _located(root, download), Canvas(*size)
    pool, test = (_entries(folder, part) for part in ("trainval", "test"))
    return published(
        "oxford_pets",
        cache,
        _labelled(folder, pool, canvas),
        _labelled(folder, test, canvas),
        val,
        label_names=_breeds([*pool, *test]),
        mask_names=MASKS,
        notes=(canvas.note(), "the outline of a pet is ignored in masks"),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )


def oxford_pets_heads(
    root: str | None,
    cache: str,
    size: tuple[int, int] = (128, 128),
    val: float = 0.1,
    test: float = 0.2,
    *,
    stream: bool = False,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read the heads of Oxford Pets: one box an image, of a cat or a dog.

    They are published for images of trainval alone, and not for all; test is carved out of those with one.
    Arguments as in `oxford_pets`, but `val` and `test` are shares of the images.
    """
    folder, canvas = _located(root, download), Canvas(*size)
    given = [entry for entry in _entries(folder, "trainval") if _annotation(folder, entry).is_file()]
    if not given:
        raise BadArchive(f"{folder / 'annotations' / 'xmls'} holds no boxes of the images of trainval")
    return divided(
        "oxford_pets_heads",
        cache,
        _boxed(folder, given, canvas),
        val,
        test,
        box_names=HEADS,
        notes=(canvas.note(), "boxes are published for training images only"),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )


def _located(root: str | None, download: bool) -> Path:
    fetch = partial(
        fetch_into,
        place=_PLACE,
        name="oxford_pets",
        fetch=lambda part: OxfordIIITPet(part, download=True),
    )
    return locate(root, (_PLACE,), "oxford_pets", _OBTAIN, fetch if download else None)


def _entries(folder: Path, part: str) -> list[_Entry]:
    """Images of one list, whose lines are `name breed species number`, breeds from 1."""
    table = folder / "annotations" / f"{part}.txt"
    if not table.is_file():
        raise BadArchive(f"{table} is missing")
    entries = []
    for number, line in enumerate(read_lines(table.read_bytes(), str(table)), 1):
        words = line.split()
        if len(words) != 4 or not words[1].isdigit() or int(words[1]) < 1:
            raise BadArchive(f"{table}, line {number}: expected a name and three numbers, not {line!r}")
        entries.append(_Entry(words[0], int(words[1]) - 1))
    return entries


def _breeds(entries: Sequence[_Entry]) -> tuple[str, ...]:
    """Names of the breeds, by label; an image is called by its breed and a number."""
    names = {entry.breed: entry.image.rsplit("_", 1)[0].replace("_", " ") for entry in entries}
    if sorted(names) != list(range(len(names))):
        raise BadArchive(f"breeds are numbered {sorted(label + 1 for label in names)}, not 1 to {len(names)}")
    return tuple(names[label] for label in range(len(names)))


def _annotation(folder: Path, entry: _Entry) -> Path:
    return folder / "annotations" / "xmls" / f"{entry.image}.xml"


def _labelled(folder: Path, entries: Sequence[_Entry], canvas: Canvas) -> Source:
    trimaps = [folder / "annotations" / "trimaps" / f"{entry.image}.png" for entry in entries]

    def labels(position: int, height: int, width: int) -> Labels:
        mask = _mask(trimaps[position], height, width)
        return Labels(entries[position].breed, mask=canvas.place_mask(mask))

    return _source(folder, entries, canvas, trimaps, labels)


def _boxed(folder: Path, entries: Sequence[_Entry], canvas: Canvas) -> Source:
    files = [_annotation(folder, entry) for entry in entries]

    def labels(position: int, height: int, width: int) -> Labels:
        path = files[position]
        boxes, remarks = read_boxes(path.read_bytes(), str(path), HEADS, height, width)
        placed = boxes._replace(xyxy=canvas.place_boxes(boxes.xyxy, height, width))
        return Labels(boxes=placed, remarks=remarks)

    return _source(folder, entries, canvas, files, labels)


def _source(
    folder: Path,
    entries: Sequence[_Entry],
    canvas: Canvas,
    files: Sequence[Path],
    labels: Callable[[int, int, int], Labels],
) -> Source:
    """Images with what the `files` say of them, one file an image."""
    images = [folder / "images" / f"{entry.image}.jpg" for entry in entries]
    try:
        identity = {
            "files": folder_identity(folder, [*images, *files]),
            "breeds": [entry.breed for entry in entries],
            "canvas": list(canvas),
        }
    except FileNotFoundError as error:
        raise BadArchive(f"{error.filename} is listed but not there") from error
    photographs = Photographs(len(images), lambda position: read_file(images[position]), canvas, labels)
    return Source(identity, lambda: photographs)


def _mask(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    trimap = decode_index(path)
    if trimap.shape != (height, width):
        raise BadArchive(f"{path} is {trimap.shape[1]}×{trimap.shape[0]}, its image {width}×{height}")
    mask = _TRIMAP[trimap]
    if (mask < 0).any():
        raise BadArchive(f"{path} holds the value {trimap[mask < 0][0]}; 1, 2 and 3 have a meaning")
    return mask.astype(np.uint8)
