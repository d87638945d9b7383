"""Imagenette (fast.ai): photographs of 10 classes of ImageNet that are easily told apart."""

from __future__ import annotations

from functools import partial

from torchvision.datasets import Imagenette

from pretext.data.class_folders import listed
from pretext.data.dataset import DataSet
from pretext.data.download import fetch_into
from pretext.data.pack import Progress, silent
from pretext.data.published import published
from pretext.data.source import BadArchive, locate
from pretext.data.square import Square

FOLDERS = {"full": "imagenette2", "320px": "imagenette2-320", "160px": "imagenette2-160"}


def imagenette(
    root: str | None,
    cache: str,
    size: int = 128,
    val: int = 1000,
    *,
    variant: str = "160px",
    stream: bool = False,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read Imagenette: single-label classes; the published validation images are test.

    Args:
        root: folder with the variant's folder.
        cache: folder of packs.
        size: side of the squares in pixels, see `Square`; smaller images are enlarged.
        val: images carved out of train.
        variant: full, 320px or 160px; the last two say how long the short side is.
        stream: decode images when they are asked for instead of packing them.
        download: fetch the set where it is missing.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, EmptyFolder, BadArchive, BadImage; ValueError for an unknown variant.
    """
    if variant not in FOLDERS:
        raise ValueError(f"variant must be one of {', '.join(FOLDERS)}, not {variant!r}")
    place = FOLDERS[variant]
    fetch = partial(
        fetch_into,
        place=place,
        name="imagenette",
        fetch=lambda part: Imagenette(part, "train", size=variant, download=True),
    )
    obtain = f"data.download=true fetches it, or unpack {place}.tgz there."
    folder = locate(root, (place,), "imagenette", obtain, fetch if download else None)
    train, test = listed(folder / "train"), listed(folder / "val")
    test.require(train.classes)
    square = Square(size, upscale=True)
    try:
        names = Imagenette(folder.parent, "train", size=variant).classes
    except KeyError as error:
        raise BadArchive(f"{folder / 'train'} holds {error}, which is no class of Imagenette") from error
    return published(
        "imagenette",
        cache,
        train.source(square),
        test.source(square),
        val,
        label_names=[name for name, *_ in names],
        notes=(square.note(), f"{variant}; the published validation images are test"),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )
