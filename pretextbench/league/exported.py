"""The gray images that a system from outside is given, each by a name that its pixels decide."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pretext.atomic import replacing
from pretext.color import lightness
from pretext.data.dataset import Split
from pretext.data.loader import fetch
from pretext.tasks.coloring import gray

LETTERS = 16
"""Of the digest that names an image."""


def gray_of(light: Tensor) -> NDArray[np.uint8]:
    """The gray image (H, W) in 8 bits of a lightness (H, W) in [0, 100]."""
    pixels: NDArray[np.uint8] = (gray(light[None, None])[0, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return pixels


def stem(pixels: NDArray[np.uint8]) -> str:
    """The name of a gray image: its pixels decide it, so that it tells nothing of the image and no order."""
    shape = ",".join(map(str, pixels.shape))
    return hashlib.sha256(shape.encode() + b":" + pixels.tobytes()).hexdigest()[:LETTERS]


def stems(split: Split) -> list[str]:
    """The names of all images of a split."""
    return [stem(pixels) for pixels in _grays(split)]


def export(split: Split, folder: Path) -> str:
    """Write the gray images of a split as PNGs of three channels; says what was written."""
    grays = _grays(split)
    for pixels in grays:
        with replacing(folder / f"{stem(pixels)}.png") as file:
            Image.fromarray(pixels).convert("RGB").save(file, format="PNG")
    return (
        f"{len(grays)} gray images are in {folder}: colour each, keep its name and its size, and name the "
        "folder of the results in a manifest, league.entries=[MANIFEST]"
    )


def _grays(split: Split) -> list[NDArray[np.uint8]]:
    places = [np.array([i], np.int64) for i in range(len(split))]
    return [gray_of(lightness(fetch(split.pixels, place))[0, 0]) for place in places]
