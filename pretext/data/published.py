"""From a set's published training and test images to its three splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pretext.data.dataset import DataSet, Remark, Split
from pretext.data.decode import SKIP_SHARE
from pretext.data.index import index_split, open_indexed
from pretext.data.labelled import Examples, open_split, pack_split, remarked, skipped
from pretext.data.pack import Progress
from pretext.data.photographs import Photographs
from pretext.data.split import carve, three_splits

STREAMED = "streamed: duplicates are told by the bytes of their files, not by their pixels"


class Source(NamedTuple):
    """Images as they lie on disk.

    identity: what determines them. `open` is called when they are read. remarks: on what lies beside them.
    """

    identity: Mapping[str, object]
    open: Callable[[], Examples | Photographs]
    remarks: tuple[Remark, ...] = ()


class Opened(NamedTuple):
    """A split, and notes and remarks on what its reading left out."""

    split: Split
    notes: tuple[str, ...]
    remarks: tuple[Remark, ...]


def open_source(
    name: str,
    part: str,
    cache: str | Path,
    source: Source,
    *,
    stream: bool = False,
    skip_bad: bool,
    skip_share: float = SKIP_SHARE,
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
            cache,
            f"{name}-{part}",
            source.identity,
            photographs,
            skip_bad=skip_bad,
            skip_share=skip_share,
            progress=progress,
        )
        split = open_indexed(folder, part, photographs())
        return Opened(split, skipped(folder, part), (*source.remarks, *remarked(folder)))

    def examples() -> Examples:
        images = source.open()
        return images.examples() if isinstance(images, Photographs) else images

    folder = pack_split(
        cache,
        f"{name}-{part}",
        source.identity,
        examples,
        skip_bad=skip_bad,
        skip_share=skip_share,
        progress=progress,
    )
    return Opened(open_split(folder, part), skipped(folder, part), (*source.remarks, *remarked(folder)))


def published(
    name: str,
    cache: str | Path,
    train: Source,
    test: Source,
    val: int | Source,
    *,
    label_names: Sequence[str] = (),
    box_names: Sequence[str] = (),
    mask_names: Sequence[str] = (),
    notes: Sequence[str] = (),
    remarks: Sequence[Remark] = (),
    stream: bool = False,
    skip_bad: bool,
    skip_share: float = SKIP_SHARE,
    progress: Progress,
) -> DataSet:
    """Pack the parts and leave out of train what occurs in test or val.

    val: how many images to carve out of train, or published validation images, which are used as they are.
    remarks: those beside those of the sources.
    stream: leave the photographs in their files and decode them when they are asked for.
    """

    def opened(part: str, source: Source) -> Opened:
        return open_source(
            name,
            part,
            cache,
            source,
            stream=stream,
            skip_bad=skip_bad,
            skip_share=skip_share,
            progress=progress,
        )

    pool, held = opened("train", train), opened("test", test)
    all_parts = [pool, held]
    chosen: int | Split
    if isinstance(val, Source):
        given = opened("val", val)
        all_parts.append(given)
        chosen = given.split
    else:
        chosen = val
    return three_splits(
        name,
        pool.split,
        held.split,
        chosen,
        label_names=label_names,
        box_names=box_names,
        mask_names=mask_names,
        notes=[
            *notes,
            *([STREAMED] if stream else []),
            *(note for part in all_parts for note in part.notes),
        ],
        remarks=[*remarks, *(remark for part in all_parts for remark in part.remarks)],
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
    remarks: Sequence[Remark] = (),
    stream: bool = False,
    skip_bad: bool,
    skip_share: float = SKIP_SHARE,
    progress: Progress,
) -> DataSet:
    """As `published` for images without a test part: shares `test` and `val` of them are carved out."""
    pool = open_source(
        name,
        "all",
        cache,
        everything,
        stream=stream,
        skip_bad=skip_bad,
        skip_share=skip_share,
        progress=progress,
    )
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
        remarks=[*remarks, *pool.remarks],
    )


def share(part: float, what: str, images: int) -> int:
    """How many of so many images a share in (0, 1) is, at least 1."""
    if not 0 < part < 1:
        raise ValueError(f"{what} must be a share of the images in (0, 1), not {part}")
    return max(1, round(part * images))
