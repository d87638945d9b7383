"""Data sets in the folder layout of PASCAL VOC: boxes in XML, masks in palette images, lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from pretext.data.canvas import Canvas
from pretext.data.dataset import IGNORE, DataSet
from pretext.data.decode import BadImage, decode_index, decode_rgb
from pretext.data.files import Files, open_files
from pretext.data.labelled import Example, ExampleBoxes, Examples
from pretext.data.pack import Progress, silent
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, locate


def voc_layout(
    root: str | None,
    cache: str,
    *,
    name: str,
    places: Sequence[str],
    size: Sequence[int],
    val: int,
    box_names: Sequence[str],
    mask_names: Sequence[str] = (),
    multi_label: bool = False,
    image_set: str = "Main",
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read a set in VOC's layout: its `train` becomes train and val, its `val` becomes test.

    VOC's boxes are inclusive positions from 1: 1 1 W H becomes 0 0 W H.

    Args:
        root: folder of all data sets.
        cache: folder of packs.
        name: of the data set.
        places: folders or tar archives to look for under `root`, in order. Somewhere in it lies the one
            folder that holds `ImageSets`, `JPEGImages` and `Annotations`.
        size: height and width of the canvas that images of varied size are put on, see `Canvas`.
        val: images carved out of train.
        box_names: classes of the boxes, in the order of their labels.
        mask_names: classes of `SegmentationClass`, the background first; none: masks are not read.
        multi_label: derive labels from the boxes: a class is there if an object not marked difficult is.
        image_set: folder of `ImageSets` whose lists name the images.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadImage, BadArchive.
    """
    obtain = f"Put {' or '.join(places)} there."
    files = open_files(locate(root, places, name, obtain))
    canvas = Canvas(*size)
    reader = _Reader(files, _base(files, name), canvas, tuple(box_names), tuple(mask_names), multi_label)
    return published(
        name,
        cache,
        reader.source(image_set, "train"),
        reader.source(image_set, "val"),
        val,
        label_names=box_names if multi_label else (),
        box_names=box_names,
        mask_names=mask_names,
        notes=(canvas.note(), "the list of val is test"),
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

    def source(self, image_set: str, part: str) -> Source:
        listing = str(self.base / "ImageSets" / image_set / f"{part}.txt")
        if listing not in self.files.names:
            raise BadArchive(f"{self.files.title(listing)} is missing")
        names = [line.split()[0] for line in self.files.read(listing).decode().splitlines() if line.strip()]
        identity = {
            "files": self.files.identity(),
            "list": [image_set, part],
            "canvas": list(self.canvas),
            "box_names": self.box_names,
            "mask_names": self.mask_names,
            "multi_label": self.multi_label,
        }
        return Source(identity, lambda: Examples(len(names), lambda position: self.read(names[position])))

    def read(self, image: str) -> Example:
        """One image with all its labels, on the canvas."""
        path = self._existing("JPEGImages", image, ".jpg")
        pixels = decode_rgb(self.files.read(path), self.files.title(path))
        height, width = pixels.shape[:2]
        boxes = self._boxes(image, height, width)
        label = None
        if self.multi_label:
            label = np.zeros(len(self.box_names), np.uint8)
            label[boxes.labels[~boxes.difficult]] = 1
        mask = self.canvas.place_mask(self._mask(image, height, width)) if self.mask_names else None
        placed = boxes._replace(xyxy=self.canvas.place_boxes(boxes.xyxy, height, width))
        return Example(self.canvas.place(pixels), label, placed, mask)

    def _existing(self, folder: str, image: str, suffix: str) -> str:
        path = str(self.base / folder / f"{image}{suffix}")
        if path not in self.files.names:
            raise BadImage(self.files.title(path), "is listed but not there")
        return path

    def _mask(self, image: str, height: int, width: int) -> NDArray[np.uint8]:
        path = self._existing("SegmentationClass", image, ".png")
        title = self.files.title(path)
        mask = decode_index(self.files.read(path), title)
        if mask.shape != (height, width):
            raise BadArchive(f"{title} is {mask.shape[1]}×{mask.shape[0]}, its image {width}×{height}")
        wrong = mask[(mask >= len(self.mask_names)) & (mask != IGNORE)]
        if len(wrong):
            raise BadArchive(f"{title} holds the label {wrong[0]}, classes end at {len(self.mask_names) - 1}")
        return mask

    def _boxes(self, image: str, height: int, width: int) -> ExampleBoxes:
        path = self._existing("Annotations", image, ".xml")
        title = self.files.title(path)
        tree = _parse(self.files.read(path), title)
        if (_number(tree, "size/height", title), _number(tree, "size/width", title)) != (height, width):
            raise BadArchive(f"{title} is for another size than that of its image, {width}×{height}")
        xyxy, labels, difficult = [], [], []
        for thing in tree.iter("object"):
            label = thing.findtext("name", "")
            if label not in self.box_names:
                raise BadArchive(f"{title}: unknown class {label!r}; known are {', '.join(self.box_names)}")
            x1, y1, x2, y2 = (_number(thing, f"bndbox/{k}", title) for k in ("xmin", "ymin", "xmax", "ymax"))
            if not (1 <= x1 <= x2 <= width and 1 <= y1 <= y2 <= height):
                raise BadArchive(f"{title}: box {x1} {y1} {x2} {y2} leaves the image of {width}×{height}")
            xyxy.append((x1 - 1, y1 - 1, x2, y2))
            labels.append(self.box_names.index(label))
            difficult.append(thing.findtext("difficult", "0").strip() == "1")
        return ExampleBoxes(
            np.array(xyxy, np.float32).reshape(-1, 4),
            np.array(labels, np.int64),
            np.array(difficult, np.bool_),
        )


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


def _parse(text: bytes, title: str) -> ElementTree.Element:
    if b"<!ENTITY" in text:  # a few bytes of nested entities can grow to gigabytes
        raise BadArchive(f"{title}: XML entities are not read")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadArchive(f"{title}: broken XML ({error})") from error


def _number(element: ElementTree.Element, path: str, title: str) -> float:
    text = element.findtext(path, "")
    try:
        return float(text)
    except ValueError as error:
        raise BadArchive(f"{title}: {path} is {text!r}, not a number") from error
