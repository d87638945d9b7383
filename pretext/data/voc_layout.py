"""Data sets in the folder layout of PASCAL VOC: boxes in XML, masks in palette images, lists of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretext.data.canvas import Canvas
from pretext.data.dataset import DataSet, Remark
from pretext.data.decode import SKIP_SHARE, Decoding, decode_index
from pretext.data.files import open_files
from pretext.data.labelled import Annotated, Labels
from pretext.data.mask_values import check_classes_occur, check_map, lookup
from pretext.data.pack import Progress, silent
from pretext.data.photographs import Encoded, OtherSize, Photographs, decoded_as, explained
from pretext.data.published import Source, published
from pretext.data.source import locate
from pretext.data.voc_files import VocFiles, chosen_lists, find_base
from pretext.data.voc_xml import read_boxes, read_names


def voc_layout(
    root: str | None,
    cache: str,
    *,
    name: str,
    places: Sequence[str],
    size: tuple[int, int],
    val: int,
    box_names: Sequence[str] | None = None,
    mask_names: Sequence[str] = (),
    mask_map: Mapping[int, int] | None = None,
    multi_label: bool = False,
    image_set: str = "Main",
    parts: Sequence[str] | None = None,
    inclusive: bool = True,
    upright: bool = True,
    bits: int | None = None,
    stream: bool = False,
    notes: Sequence[str] = (),
    obtain: str | None = None,
    download: Callable[[Path], object] | None = None,
    skip_bad: bool = False,
    skip_share: float = SKIP_SHARE,
    progress: Progress = silent,
) -> DataSet:
    """Read a set in VOC's layout: images of any suffix that is read, named by lists.

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
        mask_map: what values of the masks stand for, {value: class or IGNORE}, where not for the class of
            that number; None: they all do.
        multi_label: derive labels from the boxes: a class is there if an object not marked difficult is.
        image_set: folder of `ImageSets` whose lists name the images.
        parts: the lists: of train, val and test, or of train and val, and of test. None: those of the names
            in `ROLES`: all three, or train and one of the others, and that is test; a list of test whose
            images have no annotations is left out.
        inclusive: how boxes are written, see `read_boxes`.
        upright, bits: see `Decoding`.
        stream: decode images when they are asked for instead of packing them.
        notes: more of them for the data set.
        obtain: a sentence that says how to get the files.
        download: see `locate`.
        skip_bad: leave bad images out instead of stopping at the first.
        skip_share: of the images that may be bad then, at most; one may always be.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadImage, BadArchive.
    """
    obtain = f"Put {' or '.join(places)} there." if obtain is None else obtain
    files = find_base(open_files(locate(root, places, name, obtain, download)), name)
    unannotated = None
    if parts is None:
        parts, unannotated = chosen_lists(files, image_set)
    if len(parts) not in (2, 3):
        raise ValueError(f"parts are two or three lists of ImageSets/{image_set}, not {list(parts)}")
    listed = [files.listed(image_set, part) for part in parts]
    every = [image for images in listed for image in images]
    if box_names is None:
        box_names = _occurring(files, every)
    check_map(mask_map or {}, len(mask_names))
    canvas = Canvas(*size)
    reader = _Reader(
        files,
        canvas,
        tuple(box_names),
        tuple(mask_names),
        dict(mask_map or {}),
        multi_label,
        inclusive,
        Decoding(upright, bits),
    )
    train, *held, test = (
        reader.source(image_set, part, images) for part, images in zip(parts, listed, strict=True)
    )
    data = published(
        name,
        cache,
        train,
        test,
        held[0] if held else val,
        label_names=box_names if multi_label else (),
        box_names=box_names,
        mask_names=mask_names,
        notes=(canvas.note(), f"the list of {parts[-1]} is test", *notes),
        remarks=[*files.files.remarks, *_beside(files, image_set, parts, every, unannotated)],
        stream=stream,
        skip_bad=skip_bad,
        skip_share=skip_share,
        progress=progress,
    )
    if mask_names and data.train.masks is not None:
        check_classes_occur(data.train.masks, mask_names, files.files.title(""), reader.values(listed[0]))
    return data


def _beside(
    files: VocFiles, image_set: str, parts: Sequence[str], listed: Sequence[str], unannotated: str | None
) -> list[Remark]:
    """What becomes of the lists, and images that no list names."""
    said = []
    if unannotated is not None:
        images = files.listed(image_set, unannotated)
        said.append(Remark(f"in the list {unannotated} without annotations", len(set(images) - set(listed))))
        listed = [*listed, *images]
    unlisted = files.unlisted(listed)
    if unlisted:
        said.append(Remark("images in no list that is used", unlisted, one="image in no list that is used"))
    if len(parts) == 2 and parts[1] != "test":
        said.append(Remark(f"the list {parts[1]} is test, val is carved out of {parts[0]}", left_out=False))
    return said


@dataclass(frozen=True)
class _Reader:
    files: VocFiles
    canvas: Canvas
    box_names: tuple[str, ...]
    mask_names: tuple[str, ...]
    mask_map: dict[int, int]
    multi_label: bool
    inclusive: bool
    decoding: Decoding

    def source(self, image_set: str, part: str, images: Sequence[str]) -> Source:
        suffixes = {path for image in images for path in self.files.paths(image)}
        identity = {
            "files": self.files.files.identity(),
            "list": [image_set, part],
            "canvas": list(self.canvas),
            "box_names": self.box_names,
            "mask_names": self.mask_names,
            "multi_label": self.multi_label,
            **({} if self.inclusive else {"inclusive": False}),
            **({"mask_map": sorted(self.mask_map.items())} if self.mask_map else {}),
            **decoded_as(suffixes, self.decoding),
        }

        def encoded(position: int) -> Encoded:
            return self.encoded(images[position])

        def labels(position: int, height: int, width: int) -> Labels:
            return self.labels(images[position], height, width)

        return Source(identity, lambda: Photographs(len(images), encoded, self.canvas, labels, self.decoding))

    def encoded(self, image: str) -> Encoded:
        path = self.files.image(image)
        return Encoded(self.files.files.read(path), self.files.files.title(path))

    def labels(self, image: str, height: int, width: int) -> Labels:
        """All labels of one image, on the canvas."""
        boxes, remarks = self._boxes(image, height, width)
        label = None
        if self.multi_label:
            label = np.zeros(len(self.box_names), np.uint8)
            label[boxes.labels[~boxes.difficult]] = 1
        mask = self.canvas.place_mask(self._mask(image, height, width)) if self.mask_names else None
        placed = boxes._replace(xyxy=self.canvas.place_boxes(boxes.xyxy, height, width))
        return Labels(label, placed, mask, remarks)

    def values(self, images: Sequence[str]) -> Callable[[], list[int]]:
        """The values that the masks of these images hold, when they are asked for."""

        def found() -> list[int]:
            paths = map(self.files.mask, images)
            return sorted({int(v) for path in paths for v in np.unique(self._values(path))})

        return found

    def _values(self, path: str) -> NDArray[np.uint8]:
        return decode_index(self.files.files.read(path), self.files.files.title(path))

    def _mask(self, image: str, height: int, width: int) -> NDArray[np.uint8]:
        path = self.files.mask(image)
        title = self.files.files.title(path)
        mask = self._values(path)
        if mask.shape != (height, width):
            error = OtherSize(
                f"{title} is {mask.shape[1]}×{mask.shape[0]}, its image {width}×{height}", mask.shape
            )
            raise explained(error, self.encoded(image), height, width)
        return lookup(mask, self.mask_map, len(self.mask_names), title)

    def _boxes(self, image: str, height: int, width: int) -> Annotated:
        path = self.files.annotation(image)
        text, title = self.files.files.read(path), self.files.files.title(path)
        try:
            return read_boxes(
                text,
                title,
                self.box_names,
                height,
                width,
                inclusive=self.inclusive,
                from_zero="; data.inclusive=false takes positions as edges, from 0",
            )
        except OtherSize as error:
            raise explained(error, self.encoded(image), height, width) from error


def _occurring(files: VocFiles, images: Sequence[str]) -> tuple[str, ...]:
    """Classes of all boxes of these images, by name."""
    found: set[str] = set()
    for image in images:
        path = files.annotation(image)
        found.update(read_names(files.files.read(path), files.files.title(path)))
    return tuple(sorted(found))
