"""CIFAR-10: 32×32 photographs in 10 classes (Krizhevsky 2009), from archives of JPEG files."""

from __future__ import annotations

from pathlib import Path

from pretext.data.archive import class_names, read_archive
from pretext.data.dataset import DataSet
from pretext.data.labelled import Example, Examples
from pretext.data.pack import Progress, silent
from pretext.data.published import Source, published
from pretext.data.source import file_identity, locate

SIZE = 32
_OBTAIN = "Put cifar10_jpeg_train.npz and cifar10_jpeg_test.npz there."


def cifar10(
    root: str | None,
    cache: str,
    val: int = 5000,
    limit: int | None = None,
    *,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read CIFAR-10: single-label classes; the published test set is test, val is carved out of train.

    The archives hold JPEG files, not the original pixels: accuracies come close to those on the original
    and are not the same.

    Args:
        root: folder with the .npz pair.
        cache: folder of packs.
        val: images carved out of train.
        limit: at most so many images of train and val together, and of test, the first ones.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadImage, BadArchive.
    """
    train, test = (
        locate(root, (f"cifar10_jpeg_{part}.npz",), "cifar10", _OBTAIN) for part in ("train", "test")
    )
    return published(
        "cifar10",
        cache,
        _archive(train, limit),
        _archive(test, limit),
        val,
        label_names=class_names(train),
        notes=("JPEG-compressed, not the original pixels",),
        skip_bad=skip_bad,
        progress=progress,
    )


def _archive(path: Path, limit: int | None) -> Source:
    def open_archive() -> Examples:
        archive = read_archive(path)

        def read(position: int) -> Example:
            return Example(archive.decode(position, SIZE), int(archive.labels[position]))

        return Examples(len(archive) if limit is None else min(limit, len(archive)), read)

    return Source({"archive": file_identity(path), "limit": limit}, open_archive)
