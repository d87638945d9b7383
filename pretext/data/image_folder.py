"""Photographs in folders: one folder a class, or all in one for images without labels."""

from __future__ import annotations

from pathlib import Path

from pretext.data.class_folders import listed
from pretext.data.dataset import DataSet
from pretext.data.pack import Progress, silent
from pretext.data.published import divided, published, share
from pretext.data.source import MissingData
from pretext.data.square import Square


def image_folder(
    root: str | None,
    cache: str,
    size: int,
    *,
    val: float = 0.1,
    test: float = 0.1,
    name: str = "image_folder",
    upscale: bool = False,
    stream: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read a folder of images as squares, see `Square`.

    Where `root` holds folders `train` and `test`, or `train` and `val`, the second of them is test and val is
    carved out of train. Else test and val are carved out of all images; a lone folder `train` counts as all.
    Below that, folders are classes in the order of their names, with images at any depth; images that lie
    side by side have no labels.

    Args:
        root: the folder itself.
        cache: folder of packs.
        size: side of the squares in pixels.
        val, test: shares of the images that are carved out, in (0, 1); `test` where no folder gives it.
        name: of the data set.
        upscale: enlarge images smaller than the square instead of refusing them.
        stream: decode images when they are asked for instead of packing them; for sets larger than the disk.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, EmptyFolder, BadArchive, BadImage.
    """
    place = _existing(root, name)
    square = Square(size, upscale)
    parts = [part for part in ("test", "val") if (place / "train").is_dir() and (place / part).is_dir()]
    if not parts:
        if [path.name for path in place.iterdir()] == ["train"]:
            place = place / "train"
        everything = listed(place)
        return divided(
            name,
            cache,
            everything.source(square),
            val,
            test,
            label_names=everything.classes,
            notes=(square.note(),),
            stream=stream,
            skip_bad=skip_bad,
            progress=progress,
        )
    train = listed(place / "train")
    held = listed(place / parts[0])
    held.require(train.classes)
    return published(
        name,
        cache,
        train.source(square),
        held.source(square),
        share(val, "val", len(train.files)),
        label_names=train.classes,
        notes=(square.note(), f"the folder {parts[0]} is test"),
        stream=stream,
        skip_bad=skip_bad,
        progress=progress,
    )


def _existing(root: str | None, name: str) -> Path:
    if root is None:
        raise MissingData(
            f"{name} needs a folder: set data.root=PATH or the environment variable PRETEXTBENCH_DATA"
        )
    place = Path(root)
    if not place.is_dir():
        raise MissingData(f"{name}: {place.resolve()} is no folder; set data.root=PATH to one with images")
    return place
