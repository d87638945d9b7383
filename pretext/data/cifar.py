"""CIFAR-10 and CIFAR-100: 32×32 photographs in 10 and 100 classes (Krizhevsky 2009), original pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from pretext.data.dataset import DataSet
from pretext.data.download import fetch_into
from pretext.data.labelled import Example, Examples
from pretext.data.pack import Progress, silent
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, locate


def cifar100(
    root: str | None,
    cache: str,
    val: int = 5000,
    limit: int | None = None,
    *,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read CIFAR-100, its 100 fine classes; arguments as in `cifar`."""
    return cifar("cifar100", CIFAR100, root, cache, val, limit, download, skip_bad, progress)


def cifar(
    name: str,
    kind: type[CIFAR10],
    root: str | None,
    cache: str,
    val: int,
    limit: int | None,
    download: bool,
    skip_bad: bool,
    progress: Progress,
) -> DataSet:
    """Read a CIFAR set: single-label classes; the published test set is test, val is carved out of train.

    The batches are pickles, which can run code when they are read. torchvision's reader opens them only
    after their MD5 sums are those of the published files. MD5 is weak against whoever makes both of two
    files, not against one who must match a file that exists: what is opened is what was published.

    Args:
        name: of the data set.
        kind: torchvision's reader.
        root: folder with torchvision's folder of the set.
        cache: folder of packs.
        val: images carved out of train.
        limit: at most so many images of train and val together, and of test, the first ones.
        download: fetch the set where it is missing.
        skip_bad, progress: as in other readers; no image here can be bad.

    Raises: MissingData, BadArchive.
    """
    base = str(kind.base_folder)
    fetch = partial(fetch_into, place=base, name=name, fetch=lambda part: kind(part, download=True))
    obtain = f"data.download=true fetches it, or unpack {kind.filename} there."
    folder = locate(root, (base,), name, obtain, fetch if download else None)
    return published(
        name,
        cache,
        _source(kind, folder, limit, train=True),
        _source(kind, folder, limit, train=False),
        val,
        label_names=_read(kind, folder, train=False).classes,
        skip_bad=skip_bad,
        progress=progress,
    )


def _read(kind: type[CIFAR10], folder: Path, *, train: bool) -> CIFAR10:
    try:
        return kind(folder.parent, train=train)
    except RuntimeError as error:
        raise BadArchive(f"{folder} does not hold the files of {kind.filename} ({error})") from error


def _source(kind: type[CIFAR10], folder: Path, limit: int | None, *, train: bool) -> Source:
    def examples() -> Examples:
        batches = _read(kind, folder, train=train)
        pixels = np.ascontiguousarray(batches.data[:limit])  # (N, 32, 32, 3)

        def read(position: int) -> Example:
            return Example(pixels[position], int(batches.targets[position]))

        return Examples(len(pixels), read)

    sums = [list(entry) for entry in (kind.train_list if train else kind.test_list)]
    return Source({"files": sums, "limit": limit}, examples)
