"""Data sets in the folder layout of PASCAL VOC: boxes in XML, masks in palette images, lists of names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pretext.data.canvas import Canvas
from pretext.data.dataset import IGNORE, DataSet
from pretext.data.decode import BadImage, decode_index
from pretext.data.files import Files, open_files
from pretext.data.labelled import ExampleBoxes, Labels
from pretext.data.pack import Progress, silent
from pretext.data.photographs import Encoded, Photographs
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, locate
from pretext.data.voc_xml import read_boxes, read_names


def voc_layout(
    root: str | None,
    cache: str,
    *,
    name: str,
    places: Sequence[str],
    size: Sequence[int],
    val: int,
    box_names: Sequence[str] | None = None,
    mask_names: Sequence[str] = (),
    multi_label: bool = False,
    image_set: str = "Main",
    parts: Sequence[str] = ("train", "val"),
    inclusive: bool = True,
    stream: bool = False,
    notes: Sequence[str] = (),
    obtain: str | None = None,
    download: Callable[[Path], object] | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read a set in VOC's layout: one of its lists becomes train and val, another one test.

    Args:
        root: folder of all data sets.
        cache: folder of packs.
        name: of the data set.
        places: folders or tar archives to look for under `root`, in order. Somewhere in it lies the one
            folder that holds `ImageSets`, `JPEGImages` and `Annotations`.
        size: height and width of the canvas that images of varied size are put on, see `Canvas`.
        val: images carved out of train.
        box_names: classes of the boxes, in the order of their labels; None: those that occur, by name.
        mask_names: classes of `SegmentationClass`, the background first; none: masks are not read.
        multi_label: derive labels from the boxes: a class is there if an object not marked difficult is.
        image_set: folder of `ImageSets` whose lists name the images.
        parts: the two lists: of train and val, of test.
        inclusive: how boxes are written, see `read_boxes`.
        stream: decode images when they are asked for instead of packing them.
        notes: more of them for the data set.
        obtain: a sentence that says how to get the files.
        download: see `locate`.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadImage, BadArchive.
    """
    obtain = f"Put {' or '.join(places)} there." if obtain is None else obtain
    files = open_files(locate(root, places, name, obtain, download))
    base = _base(files, name)
    listed = [_listed(files, base, image_set, part) for part in parts]
    if box_names is None:
        box_names = _occurring(files, base, [image for images in listed for image in images])
    canvas = Canvas(*size)
    reader = _Reader(
        files, base, canvas, tuple(box_names), tuple(mask_names), multi_label, inclusive=inclusive
    )
    train, test = (reader.source(image_set, part, images) for part, images in zip(parts, listed, strict=True))
    return published(
        name,
        cache,
        train,
        test,
        val,
        label_names=box_names if multi_label else (),
        box_names=box_names,
        mask_names=mask_names,
        notes=(canvas.note(), f"the list of {parts[1]} is test", *notes),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )


@dataclass(frozen=True)
class _Reader:
    files: Files
    base: PurePosixPath
    canvas: Canvas
    box_names: tuple[str, ...]
    mask_names: tuple[str, ...]
    multi_label: bool
    inclusive: bool

    def source(self, image_set: str, part: str, images: Sequence[str]) -> Source:
        identity = {
            "files": self.files.identity(),
            "list": [image_set, part],
            "canvas": list(self.canvas),
            "box_names": self.box_names,
            "mask_names": self.mask_names,
            "multi_label": self.multi_label,
            **({} if self.inclusive else {"inclusive": False}),
        }

        def encoded(position: int) -> Encoded:
            path = _existing(self.files, self.base, "JPEGImages", images[position], ".jpg")
            return Encoded(self.files.read(path), self.files.title(path))

        def labels(position: int, height: int, width: int) -> Labels:
            return self.labels(images[position], height, width)

        return Source(identity, lambda: Photographs(len(images), encoded, self.canvas, labels))

    def labels(self, image: str, height: int, width: int) -> Labels:
        """All labels of one image, on the canvas."""
        boxes = self._boxes(image, height, width)
        label = None
        if self.multi_label:
            label = np.zeros(len(self.box_names), np.uint8)
            label[boxes.labels[~boxes.difficult]] = 1
        mask = self.canvas.place_mask(self._mask(image, height, width)) if self.mask_names else None
        placed = boxes._replace(xyxy=self.canvas.place_boxes(boxes.xyxy, height, width))
        return Labels(label, placed, mask)

    def _mask(self, image: str, height: int, width: int) -> NDArray[np.uint8]:
        path = _existing(self.files, self.base, "SegmentationClass", image, ".png")
        title = self.files.title(path)
        mask = decode_index(self.files.read(path), title)
        if mask.shape != (height, width):
            raise BadArchive(f"{title} is {mask.shape[1]}×{mask.shape[0]}, its image {width}×{height}")
        wrong = mask[(mask >= len(self.mask_names)) & (mask != IGNORE)]
        if len(wrong):
            raise BadArchive(f"{title} holds the label {wrong[0]}, classes end at {len(self.mask_names) - 1}")
        return mask

    def _boxes(self, image: str, height: int, width: int) -> ExampleBoxes:
        path = _existing(self.files, self.base, "Annotations", image, ".xml")
        text, title = self.files.read(path), self.files.title(path)
        return read_boxes(text, title, self.box_names, height, width, inclusive=self.inclusive)


def _listed(files: Files, base: PurePosixPath, image_set: str, part: str) -> list[str]:
    listing = str(base / "ImageSets" / image_set / f"{part}.txt")
    if listing not in files.names:
        raise BadArchive(f"{files.title(listing)} is missing")
    return [line.split()[0] for line in files.read(listing).decode().splitlines() if line.strip()]


def _occurring(files: Files, base: PurePosixPath, images: Sequence[str]) -> tuple[str, ...]:
    """Classes of all boxes of these images, by name."""
    found: set[str] = set()
    for image in images:
        path = _existing(files, base, "Annotations", image, ".xml")
        found.update(read_names(files.read(path), files.title(path)))
    return tuple(sorted(found))


def _existing(files: Files, base: PurePosixPath, folder: str, image: str, suffix: str) -> str:
    path = str(base / folder / f"{image}{suffix}")
    if path not in files.names:
        raise BadImage(files.title(path), "is listed but not there")
    return path


def _base(files: Files, name: str) -> PurePosixPath:
    """The one folder that holds `ImageSets`."""
    found = {
        PurePosixPath(*parts[: parts.index("ImageSets")])
        for parts in (PurePosixPath(file).parts for file in files.names)
        if "ImageSets" in parts
    }
    if len(found) != 1:
        listed = ", ".join(sorted(map(str, found))) or "none"
        raise BadArchive(f"{files.title('')}: {name} needs one folder with ImageSets, found {listed}")
    return found.pop()
