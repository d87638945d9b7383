"""ImageNet, ILSVRC 2012 (Russakovsky et al. 2015, arXiv 1409.0575): photographs in 1,000 classes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torchvision.datasets.imagenet import (
    ARCHIVE_META,
    META_FILE,
    load_meta_file,
    parse_devkit_archive,
)

from pretext.data.class_folders import listed
from pretext.data.dataset import DataSet
from pretext.data.pack import Progress, silent
from pretext.data.published import published
from pretext.data.source import BadArchive, MissingData, locate
from pretext.data.square import Square

DEVKIT = ARCHIVE_META["devkit"][0]
_OBTAIN = (
    "It is not downloaded: its terms want an account. torchvision.datasets.ImageNet makes its folders train "
    f"and val from the published archives and {DEVKIT}."
)


def imagenet(
    root: str | None,
    cache: str,
    size: int = 256,
    val: int = 50_000,
    *,
    stream: bool = True,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read ImageNet: single-label classes; the published validation images are test.

    The classes have their names from `meta.bin`, which torchvision makes, or from the development kit;
    without both they are called by their WordNet ids.

    Args:
        root: folder with `imagenet`, which holds torchvision's `train` and `val`, or with these themselves.
        cache: folder of packs.
        size: side of the squares in pixels, see `Square`; smaller images are enlarged.
        val: images carved out of train.
        stream: decode images when they are asked for; else pack them, which takes 250 GB at 256 pixels.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, EmptyFolder, BadArchive, BadImage.
    """
    folder = locate(root, ("imagenet/train", "ILSVRC2012/train", "train"), "imagenet", _OBTAIN).parent
    if not (folder / "val").is_dir():
        raise MissingData(f"imagenet: {folder} has a folder train but none named val. {_OBTAIN}")
    train, test = listed(folder / "train"), listed(folder / "val")
    test.require(train.classes)
    square = Square(size, upscale=True)
    return published(
        "imagenet",
        cache,
        train.source(square),
        test.source(square),
        val,
        label_names=_names(folder, train.classes),
        notes=(square.note(), "the published validation images are test"),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )


def _names(folder: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """First of the words of each class."""
    if (folder / META_FILE).is_file():
        words = load_meta_file(folder)[0]
    elif (folder / DEVKIT).is_file():
        words = _devkit(folder / DEVKIT)
    else:
        return wnids
    unknown = [wnid for wnid in wnids if wnid not in words]
    if unknown:
        raise BadArchive(f"{folder / 'train' / unknown[0]} is no class of ImageNet")
    return tuple(words[wnid][0] for wnid in wnids)


def _devkit(archive: Path) -> dict[str, tuple[str, ...]]:
    # torchvision writes beside the archive that it reads; a folder of data may be read-only.
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / DEVKIT).symlink_to(archive.resolve())
        try:
            parse_devkit_archive(place)
        except RuntimeError as error:  # of its MD5 sum
            raise BadArchive(f"{archive} is not the published one ({error})") from error
        words: dict[str, tuple[str, ...]] = load_meta_file(place)[0]
        return words
