"""Photographs in folders: one folder a class, or all in one for images without labels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pretext.data.dataset import DataSet
from pretext.data.decode import BadImage, decode_rgb
from pretext.data.labelled import Example, Examples, open_split, pack_split, skipped
from pretext.data.pack import Progress, silent
from pretext.data.published import Source, published
from pretext.data.source import BadArchive, MissingData, folder_identity, image_files
from pretext.data.split import carve, three_splits


class EmptyFolder(MissingData):
    """A folder of images without images."""


class Square(NamedTuple):
    """The centre square of an image whose short side is resized to `size` pixels.

    upscale: enlarge images with a shorter side instead of refusing them.
    """

    size: int
    upscale: bool

    def cut(self, image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """Image (H, W, 3) to (size, size, 3), bilinear with antialiasing; BadImage if it is too small."""
        height, width = image.shape[:2]
        short = min(height, width)
        if short < self.size and not self.upscale:
            raise BadImage(name, f"is {width}×{height}, smaller than {self.size}; upscale=true enlarges it")
        # Cut in source pixels: one resize does it, and nothing is made that is then cut off.
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        picture = Image.fromarray(image)
        return np.array(picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box))


def image_folder(
    root: str | None,
    cache: str,
    size: int,
    *,
    val: float = 0.1,
    test: float = 0.1,
    name: str = "image_folder",
    upscale: bool = False,
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
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, EmptyFolder, BadArchive, BadImage.
    """
    place = _existing(root, name)
    square = Square(size, upscale)
    notes = (f"short side resized to {size}, centre cut out",)
    parts = [part for part in ("test", "val") if (place / "train").is_dir() and (place / part).is_dir()]
    if not parts:
        if [path.name for path in place.iterdir()] == ["train"]:
            place = place / "train"
        files, classes = _listed(place)
        pack = pack_split(
            cache,
            f"{name}-all",
            *_source(place, files, classes, square),
            skip_bad=skip_bad,
            progress=progress,
        )
        every = open_split(pack, "train")
        rest, held = carve(every, _count(test, "test", len(every)), "test")
        return three_splits(
            name,
            rest,
            held,
            _count(val, "val", len(every)),
            label_names=classes,
            notes=(*notes, *skipped(pack, "all"), f"test: {len(held)} images carved out by pixel digest"),
        )
    train_files, classes = _listed(place / "train")
    test_files, test_classes = _listed(place / parts[0])
    if classes != test_classes:
        odd = ", ".join(sorted(set(classes) ^ set(test_classes)))
        raise BadArchive(f"{place}: train and {parts[0]} differ in their classes: {odd}")
    return published(
        name,
        cache,
        _source(place / "train", train_files, classes, square),
        _source(place / parts[0], test_files, classes, square),
        _count(val, "val", len(train_files)),
        label_names=classes,
        notes=(*notes, f"the folder {parts[0]} is test"),
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


def _listed(place: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Image files in order, and the classes: names of folders, none where images lie side by side."""
    files = image_files(place)
    if not files:
        raise EmptyFolder(f"{place} holds no images")
    loose = [path for path in files if path.parent == place]
    if len(loose) == len(files):
        return files, ()
    if loose:
        raise BadArchive(
            f"{place} holds both images ({loose[0].name}) and folders of images: which is a class?"
        )
    folders = sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))
    filled = {path.relative_to(place).parts[0] for path in files}
    for folder in folders:
        if folder.name not in filled:
            raise EmptyFolder(f"class folder {folder} holds no images")
    return files, tuple(folder.name for folder in folders)


def _source(place: Path, files: list[Path], classes: tuple[str, ...], square: Square) -> Source:
    def read(position: int) -> Example:
        path = files[position]
        label = classes.index(path.relative_to(place).parts[0]) if classes else None
        return Example(square.cut(decode_rgb(path), str(path)), label)

    identity = {"files": folder_identity(place, files), "size": square.size, "upscale": square.upscale}
    return Source(identity, lambda: Examples(len(files), read))


def _count(share: float, what: str, images: int) -> int:
    if not 0 < share < 1:
        raise ValueError(f"{what} must be a share of the images in (0, 1), not {share}")
    return max(1, round(share * images))
