"""The gray images that a system from outside is given, each by a name that its pixels decide."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pretext.atomic import write_bytes
from pretext.color import lab_to_rgb, lightness
from pretext.data.dataset import Split
from pretext.data.loader import fetch

LETTERS = 16
"""Of the digest that names an image."""


def gray_of(light: Tensor) -> NDArray[np.uint8]:
    """The gray image (H, W) in 8 bits of a lightness (H, W) in [0, 100]."""
    lab = torch.stack([light, torch.zeros_like(light), torch.zeros_like(light)])[None]
    gray: NDArray[np.uint8] = (lab_to_rgb(lab)[0, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return gray


def stem(gray: NDArray[np.uint8]) -> str:
    """The name of a gray image: its pixels decide it, so that it tells nothing of the image and no order."""
    shape = ",".join(map(str, gray.shape))
    return hashlib.sha256(shape.encode() + b":" + gray.tobytes()).hexdigest()[:LETTERS]


def stems(split: Split) -> list[str]:
    """The names of all images of a split."""
    return [stem(gray) for gray in _grays(split)]


def export(split: Split, folder: Path) -> str:
    """Write the gray images of a split as PNGs of three channels; says what was written."""
    grays = _grays(split)
    for gray in grays:
        file = io.BytesIO()
        Image.fromarray(gray).convert("RGB").save(file, format="PNG")
        write_bytes(folder / f"{stem(gray)}.png", file.getvalue())
    return (
        f"{len(grays)} gray images are in {folder}: colour each, keep its name and its size, and name the "
        "folder of the results in a manifest, league.entries=[MANIFEST]"
    )


def _grays(split: Split) -> list[NDArray[np.uint8]]:
    places = [np.array([i], np.int64) for i in range(len(split))]
    return [gray_of(lightness(fetch(split.pixels, place))[0, 0]) for place in places]
