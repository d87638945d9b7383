"""Data sets in the layout of COCO: a folder of images and a JSON file of instances for each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from pretext.data.canvas import Canvas
from pretext.data.coco_json import Annotations, Contents, Instance, boxes_of, mask_of, read_annotations
from pretext.data.dataset import IGNORE, DataSet, Remark, Split
from pretext.data.decode import SKIP_SHARE, Decoding
from pretext.data.labelled import Labels, without_size
from pretext.data.pack import Progress, packed, read_values, silent, write_values
from pretext.data.photographs import Encoded, OtherSize, Photographs, decoded_as, explained, read_file
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
    size: tuple[int, int],
    val: int,
    validation: Sequence[str] | None = None,
    masks: bool = False,
    upright: bool = True,
    bits: int | None = None,
    stream: bool = True,
    obtain: str | None = None,
    skip_bad: bool = False,
    skip_share: float = SKIP_SHARE,
    progress: Progress = silent,
) -> DataSet:
    """Read a set in COCO's layout: boxes, multi-label classes and, if asked for, masks.

    A class is there if an object or a crowd of it is. Crowds are boxes marked difficult; boxes without width
    or height are no labels. In masks crowds have their class, and pixels of two classes are IGNORE. A
    category above others that has no object in any part is no class.

    Args:
        root: folder of all data sets.
        cache: folder of packs.
        name: of the data set.
        place: folder of the set under `root`.
        train, test: folder of images and file of instances, under `place`.
        size: height and width of the canvas that images of varied size are put on, see `Canvas`.
        val: images carved out of train, where `validation` does not give them.
        validation: folder and file of published validation images, as those of train; None: there are none.
        masks: paint masks from the outlines. They are kept in memory, a byte a pixel.
        upright, bits: see `Decoding`. upright=false for annotations of photographs as they are stored.
        stream: decode images when they are asked for instead of packing them.
        obtain: a sentence that says how to get the files.
        skip_bad: leave bad images out instead of stopping at the first.
        skip_share: of the images that may be bad then, at most; one may always be.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadArchive, BadImage.
    """
    given = [train, *([validation] if validation else []), test]
    obtain = (
        f"Put {', '.join(file for part in given for file in part)} into {place} there."
        if obtain is None
        else obtain
    )
    found = [[locate(root, (f"{place}/{file}",), name, obtain) for file in part] for part in given]
    canvas, decoding = Canvas(*size), Decoding(upright, bits)
    parts = [_Part(images, file, canvas, masks, cache, decoding) for images, file in found]
    for part in parts[1:]:
        _require_same(parts[0], part)
    roots = set.intersection(*(set(part.contents.roots) for part in parts))
    parts = [replace(part, roots=tuple(sorted(roots))) for part in parts]
    classes = parts[0].classes
    if masks and len(classes) >= IGNORE:
        raise BadArchive(f"{parts[0].file}: a mask holds at most {IGNORE - 1} classes, not {len(classes)}")
    pool, *held, last = (part.source() for part in parts)
    data = published(
        name,
        cache,
        pool,
        last,
        held[0] if held else val,
        label_names=classes,
        box_names=classes,
        mask_names=("background", *classes) if masks else (),
        notes=(canvas.note(), f"{test[0]} is test", "crowds are marked difficult"),
        remarks=[Remark("categories above others", len(roots), tuple(sorted(roots)), "category above others")]
        if roots
        else [],
        stream=stream,
        skip_bad=skip_bad,
        skip_share=skip_share,
        progress=progress,
    )
    return replace(
        data, train=_with_crowds(data.train), val=_with_crowds(data.val), test=_with_crowds(data.test)
    )


def _require_same(first: _Part, other: _Part) -> None:
    classes, others = first.contents.classes, other.contents.classes
    if classes != others:
        odd = ", ".join(sorted(set(classes) ^ set(others))) or "their order"
        raise BadArchive(f"{first.file} and {other.file} differ in their categories: {odd}")


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
    decoding: Decoding
    roots: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> str:
        return file_identity(self.file)

    @cached_property
    def contents(self) -> Contents:
        """Kept in the cache: to parse the file of COCO takes gigabytes."""

        def build(part: Path) -> None:
            write_values(part / "contents.json", read_annotations(self.file).contents)

        folder = packed(
            self.cache, f"{self.file.stem}-contents", {"file": self.identity, "version": 2}, build
        )
        classes, images, roots = read_values(folder / "contents.json")
        return Contents(tuple(classes), tuple((number, name) for number, name in images), tuple(roots))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the categories that are classes, in the order of their labels."""
        return tuple(name for name in self.contents.classes if name not in self.roots)

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
            **({"without": self.roots} if self.roots else {}),
            **decoded_as((path.name for path in paths), self.decoding),
        }

        def encoded(position: int) -> Encoded:
            return read_file(paths[position])

        def photographs() -> Photographs:
            # Read when the first label is asked for, by one thread, and forgotten with the photographs.
            annotations = _Lazy(self.file)

            def labels(position: int, height: int, width: int) -> Labels:
                return self.labels(annotations.get(), position, height, width)

            return Photographs(len(paths), encoded, self.canvas, labels, self.decoding)

        return Source(identity, photographs)

    def labels(self, annotations: Annotations, position: int, height: int, width: int) -> Labels:
        """All labels of one image, on the canvas."""
        number, name = self.contents.images[position]
        title = f"{self.file}, {name}"
        remarks = self._check_size(annotations.sizes[number], (height, width), name, title)
        things = self._of_classes(annotations.instances[number])
        label = np.zeros(len(self.classes), np.uint8)
        label[[thing.label for thing in things]] = 1
        boxes, dropped = boxes_of(things, height, width, title)
        placed = boxes._replace(xyxy=self.canvas.place_boxes(boxes.xyxy, height, width))
        mask = self.canvas.place_mask(mask_of(things, height, width, title)) if self.masks else None
        return Labels(label, placed, mask, (*remarks, *dropped))

    def _of_classes(self, things: Sequence[Instance]) -> Sequence[Instance]:
        """The same objects, labelled by the classes instead of by all categories."""
        if not self.roots:
            return things
        classes = self.classes
        return [thing._replace(label=classes.index(self.contents.classes[thing.label])) for thing in things]

    def _check_size(
        self, stated: tuple[int, int], found: tuple[int, int], name: str, title: str
    ) -> tuple[Remark, ...]:
        if stated == (0, 0):
            return (without_size(title),)
        if stated != found:
            (height, width), (tall, wide) = found, stated
            error = OtherSize(f"{title}: the image is {width}×{height}, not {wide}×{tall}", stated)
            raise explained(error, read_file(self.images / name), height, width)
        return ()


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
