"""Images with masks side by side: in two folders, or in lists of pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretext.data.canvas import Canvas
from pretext.data.dataset import IGNORE, DataSet, Remark
from pretext.data.decode import SKIP_SHARE, BadImage, Decoding
from pretext.data.files import Files, open_files
from pretext.data.label_image import LabelImage, by_palette, colors_of, decode_labels
from pretext.data.labelled import Labels
from pretext.data.mask_values import check_classes_occur, check_map, lookup
from pretext.data.pack import Progress, packed, read_values, silent, write_values
from pretext.data.pair_files import find_pairs
from pretext.data.photographs import Encoded, OtherSize, Photographs, decoded_as, explained
from pretext.data.published import Source, divided, published, share
from pretext.data.source import BadArchive, locate

Pair = tuple[str, str]
Colour = tuple[int, int, int]


def pairs(
    root: str | None,
    cache: str,
    *,
    size: Sequence[int],
    name: str = "pairs",
    place: str = ".",
    images: str | None = None,
    masks: str | None = None,
    lists: Mapping[str, str] | str | None = None,
    mask_names: Sequence[str] | None = None,
    mask_map: Mapping[int, int] | None = None,
    ignored: int = IGNORE,
    palette: Sequence[Sequence[int]] | None = None,
    val: float = 0.1,
    test: float = 0.1,
    upright: bool = True,
    bits: int | None = None,
    stream: bool = False,
    skip_bad: bool = False,
    skip_share: float = SKIP_SHARE,
    progress: Progress = silent,
) -> DataSet:
    """Read images with a mask each, see `find_pairs` for where they are looked for.

    Masks are label maps (gray or palette) or in colour; what is ignored is IGNORE in the split's masks.

    Args:
        root: folder of the set, or of its place.
        cache: folder of packs.
        size: height and width of the canvas that images of varied size are put on, see `Canvas`.
        name: of the data set.
        place: folder or tar archive under `root`.
        images, masks: folders, where they are not called as usual.
        lists: a list of pairs for each split {train: …, val: …, test: …}, or one of all.
        mask_names: classes, the background first: value i is class i. None: the values that occur are the
            classes, in their order, and are called by their numbers, 0 "background"; colours likewise, in
            the order of red, green and blue, and called "#rrggbb".
        mask_map: what values stand for, {value: class or IGNORE}, where not for the class of that number;
            of masks in colour, values are positions in the palette or in the order of the colours.
        ignored: the value of pixels without a label.
        palette: colour [red, green, blue] of each value, for masks in colour and for palettes that differ
            between files; without it palette images are read by their values.
        val, test: shares of the images that are carved out, in (0, 1), each where the set does not have it.
        upright, bits: see `Decoding`.
        stream: decode images when they are asked for instead of packing them.
        skip_bad: leave bad images out instead of stopping at the first.
        skip_share: of the images that may be bad then, at most; one may always be.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadArchive, BadImage; Leak where no image of a split is its own.
    """
    files = open_files(locate(root, (place,), name, "data.root=PATH names a folder with images/ and masks/."))
    found = find_pairs(files, images, masks, lists)
    every = [pair for part in found.parts.values() for pair in part]
    colours = None if palette is None else [_colour(colour) for colour in palette]
    known = _Known(files, tuple(mask for _, mask in every), cache, name, progress)
    if colours is None:
        colours = known.colours() or None
    if mask_names is None:
        names, mapped = _found_classes(known, dict(mask_map or {}), ignored, colours, palette is not None)
    else:
        names, mapped = tuple(mask_names), {ignored: IGNORE, **(mask_map or {})}
    check_map(mapped, len(names))
    canvas = Canvas(*size)
    reader = _Reader(files, canvas, names, mapped, ignored, colours, Decoding(upright, bits))
    data = _splits(
        name,
        cache,
        {part: reader.source(listed) for part, listed in found.parts.items()},
        val,
        test,
        len(found.parts.get("train", ())),
        notes=(canvas.note(),),
        remarks=found.remarks,
        mask_names=names,
        stream=stream,
        skip_bad=skip_bad,
        skip_share=skip_share,
        progress=progress,
    )
    if data.train.masks is not None:
        check_classes_occur(data.train.masks, names, files.title(""), known.values)
    return data


def _splits(
    name: str,
    cache: str,
    sources: Mapping[str, Source],
    val: float,
    test: float,
    train_images: int,
    *,
    notes: tuple[str, ...],
    remarks: Sequence[Remark],
    **rest: Any,
) -> DataSet:
    """The splits as published; what is not there is carved out."""
    if sources.keys() <= {"all", "train"}:
        (every,) = sources.values()
        return divided(name, cache, every, val, test, notes=notes, remarks=remarks, **rest)
    train, last = sources["train"], "test" if "test" in sources else "val"
    held: int | Source = share(val, "val", train_images)
    if len(sources) == 3:
        held, notes = sources["val"], (*notes, "splits as published")
    elif last == "val":
        remarks = [*remarks, Remark("val is test, val is carved out of train", left_out=False)]
    return published(name, cache, train, sources[last], held, notes=notes, remarks=remarks, **rest)


@dataclass(frozen=True)
class _Reader:
    files: Files
    canvas: Canvas
    names: tuple[str, ...]
    mapped: dict[int, int]
    ignored: int
    colours: list[Colour] | None
    decoding: Decoding

    def source(self, listed: Sequence[Pair]) -> Source:
        identity = {
            "files": self.files.identity(),
            "pairs": hashlib.sha256("\n".join("\0".join(pair) for pair in listed).encode()).hexdigest(),
            "canvas": list(self.canvas),
            "mask_names": self.names,
            "mask_map": sorted(self.mapped.items()),
            "palette": self.colours,
            **decoded_as((image for image, _ in listed), self.decoding),
        }

        def encoded(position: int) -> Encoded:
            return self.encoded(listed[position])

        def labels(position: int, height: int, width: int) -> Labels:
            return Labels(mask=self.canvas.place_mask(self.mask(listed[position], height, width)))

        return Source(identity, lambda: Photographs(len(listed), encoded, self.canvas, labels, self.decoding))

    def encoded(self, pair: Pair) -> Encoded:
        return Encoded(self.files.read(pair[0]), self.files.title(pair[0]))

    def mask(self, pair: Pair, height: int, width: int) -> NDArray[np.uint8]:
        """The mask of an image, (height, width), of classes and IGNORE."""
        title = self.files.title(pair[1])
        values = _values(decode_labels(self.files.read(pair[1]), title), self.colours, title)
        if values.shape != (height, width):
            image = self.encoded(pair)
            sizes = f"{values.shape[1]}×{values.shape[0]}, its image {image.name} {width}×{height}"
            raise explained(OtherSize(f"{title} is {sizes}", values.shape), image, height, width)
        if IGNORE not in self.mapped and (values == IGNORE).any():
            raise BadArchive(f"{title} holds the value {IGNORE}; data.ignored is {self.ignored}")
        return lookup(values, self.mapped, len(self.names), title)


@dataclass(frozen=True)
class _Known:
    """What occurs in all masks; read once, and kept in the cache."""

    files: Files
    masks: tuple[str, ...]
    cache: str
    name: str
    progress: Progress

    def colours(self) -> list[Colour]:
        """Those that occur, in their order; none where no mask is in colour."""
        return [_colour(colour) for colour in self._scan["colours"]]

    def values(self) -> list[int]:
        """The values that occur in masks that are not in colour.

        Raises: BadArchive where a value has another colour in another file: it may mean something else.
        """
        if self._scan["clash"]:
            raise BadArchive(self._scan["clash"])
        found: list[int] = self._scan["values"]
        return found

    @cached_property
    def _scan(self) -> dict[str, Any]:
        listed = hashlib.sha256("\n".join(self.masks).encode()).hexdigest()
        identity = {"files": self.files.identity(), "masks": listed, "version": 1}

        def build(part: Path) -> None:
            write_values(part / "found.json", self._read_all())

        folder = packed(self.cache, f"{self.name}-masks", identity, build)
        found: dict[str, Any] = read_values(folder / "found.json")
        return found

    def _read_all(self) -> dict[str, object]:
        values: set[int] = set()
        colours: set[Colour] = set()
        meaning: dict[int, tuple[Colour, str]] = {}
        in_color, clash = False, None
        for done, path in enumerate(self.masks, 1):
            title = self.files.title(path)
            try:
                mask = decode_labels(self.files.read(path), title)
            except BadImage:  # named, or skipped, with its image
                continue
            in_color = in_color or mask.values is None
            if len(colours) <= IGNORE:
                colours |= colors_of(mask)
            if mask.values is not None:
                values.update(mask.used())
                if mask.colours is not None:
                    clash = clash or _clash(meaning, mask.used(), mask.colours, title)
            self.progress("values of masks", done, len(self.masks))
        if in_color and len(colours) > IGNORE:
            raise BadArchive(
                f"{self.files.title(self.masks[0])} and others hold more than {IGNORE} colours, as where "
                "edges are smoothed; 'data.palette=[[0,0,0],…]' names those of the classes"
            )
        return {"values": sorted(values), "colours": sorted(colours) if in_color else [], "clash": clash}


def _clash(
    meaning: dict[int, tuple[Colour, str]], here: Sequence[int], colours: NDArray[np.uint8], title: str
) -> str | None:
    """Remember the colours of values; words on a value that has another colour in another file."""
    for value in here:
        colour = _colour(colours[value].tolist())
        first, where = meaning.setdefault(value, (colour, title))
        if first != colour:
            return (
                f"{title} shows the value {value} in {colour}, {where} in {first}: "
                "'data.palette=[[0,0,0],…]' reads masks by their colours, data.mask_names=[…] by their values"
            )
    return None


def _values(mask: LabelImage, colours: list[Colour] | None, title: str) -> NDArray[np.uint8]:
    if colours is not None:
        return by_palette(mask, colours, title)
    if mask.values is None:
        raise BadArchive(f"{title} is in colour: 'data.palette=[[0,0,0],…]' reads masks by their colours")
    return mask.values


def _found_classes(
    known: _Known, mask_map: dict[int, int], ignored: int, colours: list[Colour] | None, given: bool
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of the classes that occur, and the class of each value."""
    values = list(range(len(colours))) if colours is not None else known.values()
    if colours is None or given:
        mask_map = {ignored: IGNORE, **mask_map}
    meant = {value: mask_map.get(value, value) for value in values}
    kept = sorted({label for value, label in meant.items() if value not in mask_map or label != IGNORE})
    if len(kept) < 2:
        odd = next((value for value in reversed(values) if value and meant[value] not in kept), 1)
        raise BadArchive(
            f"{known.files.title('')}: the masks hold the values {', '.join(map(str, values))}, of which "
            f"{ignored} is ignored: no two classes; 'data.mask_map={{{odd}: 1}}' reads {odd} as class 1"
        )
    named = [_name(label, colours) for label in kept]
    mapped = {
        value: IGNORE if value in mask_map and label == IGNORE else kept.index(label)
        for value, label in meant.items()
    }
    return tuple(named), mapped


def _name(label: int, colours: list[Colour] | None) -> str:
    if colours is not None and label < len(colours):
        return "#{:02x}{:02x}{:02x}".format(*colours[label])
    return "background" if label == 0 else str(label)


def _colour(values: Sequence[int]) -> Colour:
    if len(values) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
        raise ValueError(f"a colour of data.palette is [red, green, blue] from 0 to 255, not {list(values)}")
    red, green, blue = values
    return red, green, blue
