"""From a set's published training and test images to its three splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pretext.data.dataset import DataSet
from pretext.data.labelled import Examples, open_split, pack_split, skipped
from pretext.data.pack import Progress
from pretext.data.split import three_splits


class Source(NamedTuple):
    """Images as they lie on disk. identity: what determines them; `open` is called when they are packed."""

    identity: Mapping[str, object]
    open: Callable[[], Examples]


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
    skip_bad: bool,
    progress: Progress,
) -> DataSet:
    """Pack both parts, carve `val` images out of train, and leave out what occurs in test."""
    packs = {
        split: pack_split(
            cache, f"{name}-{split}", source.identity, source.open, skip_bad=skip_bad, progress=progress
        )
        for split, source in (("train", train), ("test", test))
    }
    return three_splits(
        name,
        open_split(packs["train"], "train"),
        open_split(packs["test"], "test"),
        val,
        label_names=label_names,
        box_names=box_names,
        mask_names=mask_names,
        notes=[*notes, *(note for split, pack in packs.items() for note in skipped(pack, split))],
    )
