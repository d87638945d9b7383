"""Data sets in the layout of COCO: a folder of images and a JSON file of instances for each part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from pretext.data.canvas import Canvas
from pretext.data.coco_json import Annotations, Contents, boxes_of, mask_of, read_annotations
from pretext.data.dataset import IGNORE, DataSet, Split
from pretext.data.labelled import Labels
from pretext.data.pack import Progress, packed, silent
from pretext.data.photographs import Encoded, Photographs, read_file
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, file_identity, folder_identity, locate


def coco_layout(
    root: str | None,
    cache: str,
    *,
    name: str,
    place: str,
    train: Sequence[str],
    test: Sequence[str],
    size: Sequence[int],
    val: int,
    masks: bool = False,
    stream: bool = True,
    obtain: str | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read a set in COCO's layout: boxes, multi-label classes and, if asked for, masks.

    A class is there if an object or a crowd of it is. Crowds are boxes marked difficult; boxes without width
    or height are no labels. In masks crowds have their class, and pixels of two classes are IGNORE.

    Args:
        root: folder of all data sets.
        cache: folder of packs.
        name: of the data set.
        place: folder of the set under `root`.
        train, test: folder of images and file of instances, under `place`; val is carved out of train.
        size: height and width of the canvas that images of varied size are put on, see `Canvas`.
        val: images carved out of train.
        masks: paint masks from the outlines. They are kept in memory, a byte a pixel.
        stream: decode images when they are asked for instead of packing them.
        obtain: a sentence that says how to get the files.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadArchive, BadImage.
    """
    obtain = f"Put {', '.join([*train, *test])} into {place} there." if obtain is None else obtain
    files = [f"{place}/{part}" for part in (*train, *test)]
    found = [locate(root, (file,), name, obtain) for file in files]
    canvas = Canvas(*size)
    pool, held = (
        _Part(images, annotations, canvas, masks, cache) for images, annotations in (found[:2], found[2:])
    )
    classes = pool.contents.classes
    if held.contents.classes != classes:
        odd = ", ".join(sorted(set(classes) ^ set(held.contents.classes))) or "their order"
        raise BadArchive(f"{found[1]} and {found[3]} differ in their categories: {odd}")
    if masks and len(classes) >= IGNORE:
        raise BadArchive(f"{found[1]}: a mask holds at most {IGNORE - 1} classes, not {len(classes)}")
    data = published(
        name,
        cache,
        pool.source(),
        held.source(),
        val,
        label_names=classes,
        box_names=classes,
        mask_names=("background", *classes) if masks else (),
        notes=(canvas.note(), f"{test[0]} is test", "crowds are marked difficult"),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )
    return replace(
        data, train=_with_crowds(data.train), val=_with_crowds(data.val), test=_with_crowds(data.test)
    )


def _with_crowds(split: Split) -> Split:
    """The same split, what is difficult in it declared a crowd."""
    return replace(split, boxes=None if split.boxes is None else replace(split.boxes, crowds=True))


@dataclass(frozen=True)
class _Part:
    images: Path
    file: Path
    canvas: Canvas
    masks: bool
    cache: str

    @cached_property
    def identity(self) -> str:
        return file_identity(self.file)

    @cached_property
    def contents(self) -> Contents:
        """Kept in the cache: to parse the file of COCO takes gigabytes."""

        def build(part: Path) -> None:
            (part / "contents.json").write_text(json.dumps(read_annotations(self.file).contents))

        folder = packed(
            self.cache, f"{self.file.stem}-contents", {"file": self.identity, "version": 1}, build
        )
        classes, images = json.loads((folder / "contents.json").read_text())
        return Contents(tuple(classes), tuple((number, name) for number, name in images))

    def source(self) -> Source:
        paths = [self.images / name for _, name in self.contents.images]
        try:
            files = folder_identity(self.images, paths)
        except FileNotFoundError as error:
            raise BadArchive(f"{error.filename} is listed in {self.file} but not there") from error
        identity = {
            "files": files,
            "annotations": self.identity,
            "canvas": list(self.canvas),
            "masks": self.masks,
        }

        def encoded(position: int) -> Encoded:
            return read_file(paths[position])

        def photographs() -> Photographs:
            # Read when the first label is asked for, by one thread, and forgotten with the photographs.
            annotations = _Lazy(self.file)

            def labels(position: int, height: int, width: int) -> Labels:
                return self.labels(annotations.get(), position, height, width)

            return Photographs(len(paths), encoded, self.canvas, labels)

        return Source(identity, photographs)

    def labels(self, annotations: Annotations, position: int, height: int, width: int) -> Labels:
        """All labels of one image, on the canvas."""
        number, name = self.contents.images[position]
        title = f"{self.file}, {name}"
        if annotations.sizes[number] != (height, width):
            tall, wide = annotations.sizes[number]
            raise BadArchive(f"{title}: the image is {width}×{height}, not {wide}×{tall}")
        things = annotations.instances[number]
        label = np.zeros(len(self.contents.classes), np.uint8)
        label[[thing.label for thing in things]] = 1
        boxes = boxes_of(things, height, width, title)
        placed = boxes._replace(xyxy=self.canvas.place_boxes(boxes.xyxy, height, width))
        mask = self.canvas.place_mask(mask_of(things, height, width, title)) if self.masks else None
        return Labels(label, placed, mask)


class _Lazy:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()
        self._read: Annotations | None = None

    def get(self) -> Annotations:
        with self._lock:
            if self._read is None:
                self._read = read_annotations(self._file)
            return self._read
