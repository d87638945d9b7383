"""CIFAR-10: 32×32 photographs in 10 classes (Krizhevsky 2009), as published or as JPEG files."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import CIFAR10

from pretext.data.archive import class_names, read_archive
from pretext.data.cifar import cifar
from pretext.data.dataset import DataSet
from pretext.data.labelled import Example, Examples
from pretext.data.pack import Progress, silent
from pretext.data.published import Source, published
from pretext.data.source import file_identity, locate

SIZE = 32
_OBTAIN = (
    "data.download=true fetches it; or unpack cifar-10-python.tar.gz there, "
    "or put cifar10_jpeg_train.npz and cifar10_jpeg_test.npz there."
)


def cifar10(
    root: str | None,
    cache: str,
    val: int = 5000,
    limit: int | None = None,
    *,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read CIFAR-10: single-label classes; the published test set is test, val is carved out of train.

    Where there is no folder `cifar-10-batches-py`, see `cifar`, a pair of archives is read. They hold JPEG
    files, not the original pixels: accuracies come close to those on the original and are not the same.

    Args:
        root: folder with torchvision's folder of the set, or with the .npz pair.
        cache: folder of packs.
        val: images carved out of train.
        limit: at most so many images of train and val together, and of test, the first ones.
        download: fetch the published set where neither is there.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadImage, BadArchive.
    """
    original = root is not None and (Path(root) / CIFAR10.base_folder).is_dir()
    archived = root is not None and (Path(root) / "cifar10_jpeg_train.npz").is_file()
    if original or (download and not archived):
        return cifar("cifar10", CIFAR10, root, cache, val, limit, download, skip_bad, progress)
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
