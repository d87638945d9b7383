"""Twelve pictures with masks of known classes, written as folders of pairs and read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pictures import encoded, photo

from pretext.data.dataset import IGNORE, DataSet
from pretext.data.pairs import pairs

HEIGHT, WIDTH, COUNT = 20, 32, 12
NAMES = [f"p{i:02d}" for i in range(COUNT)]
COLOURS = [(0, 0, 0), (200, 0, 0), (0, 120, 40)]


def mask_of(i: int) -> NDArray[np.uint8]:
    """Classes 0, 1, 2 and a row without a label."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:9, i : i + 10] = 1
    mask[12:18, 5:9] = 2
    mask[0] = IGNORE
    return mask


def save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def fill(
    root: Path,
    images: str = "images/{}.jpg",
    masks: str = "masks/{}.png",
    names: list[str] = NAMES,
    draw: Callable[[int], bytes] | None = None,
) -> Path:
    """Write the pictures of these names: patterns of the paths of image and mask."""
    for i, name in enumerate(NAMES):
        if name in names:
            save(root / images.format(name), encoded(photo(i, HEIGHT, WIDTH), quality=95, subsampling=0))
            save(root / masks.format(name), draw(i) if draw else encoded(mask_of(i), "PNG"))
    return root


def read(root: Path, **options: object) -> DataSet:
    return pairs(str(root), str(root.parent / "cache"), **{"size": [HEIGHT, WIDTH], **options})


def digests(data: DataSet) -> dict[str, str]:
    return {name: split.digest for name, split in data.splits.items()}


def where(data: DataSet) -> dict[str, str]:
    """The split of each picture, told by its pixels; its mask is the one it was written with."""
    found = {}
    for i, name in enumerate(NAMES):
        for part, split in data.splits.items():
            for k in range(len(split)):
                if abs(split.pixels[k].astype(int) - photo(i, HEIGHT, WIDTH).astype(int)).mean() < 6:
                    assert split.masks is not None
                    np.testing.assert_array_equal(split.masks[k], mask_of(i), err_msg=name)
                    found[name] = part
    return found


def in_color(i: int) -> bytes:
    return encoded(colours(i), "PNG")


def colours(i: int) -> NDArray[np.uint8]:
    table = np.full((256, 3), 255, np.uint8)
    table[:3] = COLOURS
    return table[mask_of(i)]


WHITE = [*COLOURS, (255, 255, 255)]
