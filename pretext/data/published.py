"""From a set's published training and test images to its three splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pretext.data.dataset import DataSet, Split
from pretext.data.index import index_split, open_indexed
from pretext.data.labelled import Examples, open_split, pack_split, skipped
from pretext.data.pack import Progress
from pretext.data.photographs import Photographs
from pretext.data.split import carve, three_splits

STREAMED = "streamed: duplicates are told by the bytes of their files, not by their pixels"


class Source(NamedTuple):
    """Images as they lie on disk. identity: what determines them; `open` is called when they are read."""

    identity: Mapping[str, object]
    open: Callable[[], Examples | Photographs]


class Opened(NamedTuple):
    """A split, and notes on what its reading left out."""

    split: Split
    notes: tuple[str, ...]


def open_source(
    name: str,
    part: str,
    cache: str | Path,
    source: Source,
    *,
    stream: bool = False,
    skip_bad: bool,
    progress: Progress,
) -> Opened:
    """Pack the images of one part of a set, or index them to be decoded on demand, and open them.

    Raises:
        TypeError: `stream` where the source has no photographs in files.
    """
    if stream:

        def photographs() -> Photographs:
            images = source.open()
            if not isinstance(images, Photographs):
                raise TypeError(f"{name}: only photographs in files can be streamed")
            return images

        folder = index_split(
            cache, f"{name}-{part}", source.identity, photographs, skip_bad=skip_bad, progress=progress
        )
        return Opened(open_indexed(folder, part, photographs()), skipped(folder, part))

    def examples() -> Examples:
        images = source.open()
        return images.examples() if isinstance(images, Photographs) else images

    folder = pack_split(
        cache, f"{name}-{part}", source.identity, examples, skip_bad=skip_bad, progress=progress
    )
    return Opened(open_split(folder, part), skipped(folder, part))


def published(
    name: str,
    cache: str | Path,
    train: Source,
    test: Source,
    val: int,
    *,
    label_names: Sequence[str] = (),
    box_names: Sequence[str] = (),
    mask_names: Sequence[str] = (),
    notes: Sequence[str] = (),
    stream: bool = False,
    skip_bad: bool,
    progress: Progress,
) -> DataSet:
    """Pack both parts, carve `val` images out of train, and leave out what occurs in test.

    stream: leave the photographs in their files and decode them when they are asked for.
    """
    pool, held = (
        open_source(name, part, cache, source, stream=stream, skip_bad=skip_bad, progress=progress)
        for part, source in (("train", train), ("test", test))
    )
    return three_splits(
        name,
        pool.split,
        held.split,
        val,
        label_names=label_names,
        box_names=box_names,
        mask_names=mask_names,
        notes=[*notes, *([STREAMED] if stream else []), *pool.notes, *held.notes],
    )


def divided(
    name: str,
    cache: str | Path,
    everything: Source,
    val: float,
    test: float,
    *,
    label_names: Sequence[str] = (),
    box_names: Sequence[str] = (),
    mask_names: Sequence[str] = (),
    notes: Sequence[str] = (),
    stream: bool = False,
    skip_bad: bool,
    progress: Progress,
) -> DataSet:
    """As `published` for images without a test part: shares `test` and `val` of them are carved out."""
    pool = open_source(name, "all", cache, everything, stream=stream, skip_bad=skip_bad, progress=progress)
    rest, held = carve(pool.split, share(test, "test", len(pool.split)), "test")
    return three_splits(
        name,
        rest,
        held,
        share(val, "val", len(pool.split)),
        label_names=label_names,
        box_names=box_names,
        mask_names=mask_names,
        notes=[
            *notes,
            *([STREAMED] if stream else []),
            *pool.notes,
            f"test: {len(held)} images carved out by pixel digest",
        ],
    )


def share(part: float, what: str, images: int) -> int:
    """How many of so many images a share in (0, 1) is, at least 1."""
    if not 0 < part < 1:
        raise ValueError(f"{what} must be a share of the images in (0, 1), not {part}")
    return max(1, round(part * images))
