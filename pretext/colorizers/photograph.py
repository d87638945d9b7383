"""Colour photographs of any size: the colours come from a small copy, the lightness stays the original's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pretext.atomic import replacing
from pretext.color import lab_to_rgb, lightness, upsample_ab
from pretext.colorizers.contract import Colorizer
from pretext.data.decode import SUFFIXES, decode_rgb
from pretext.data.walk import image_files

GAP = 8
"""White pixels between the panels of a comparison."""


def find(path: Path) -> list[Path]:
    """Image files of a folder, subfolders included, or the one file.

    Raises:
        FileNotFoundError: nothing there, or a folder without images.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no image or folder {path}")
    found = image_files(path)
    if not found:
        raise FileNotFoundError(f"{path} has no images; recognised are {', '.join(sorted(SUFFIXES))}")
    return found


@torch.no_grad()
def colour(colorizer: Colorizer, rgb: Tensor, size: int, multiple: int = 8) -> Tensor:
    """Colour an image from its lightness alone.

    Args:
        rgb: (1, 3, H, W) in [0, 1], any size; its colours are not used.
        size: shorter side of the copy that the network sees; about what it was trained on.
        multiple: both sides of the copy are multiples of it, the network's largest stride.

    Returns:
        (1, 3, H, W) in [0, 1] with the original lightness where the gamut allows.
    """
    height, width = rgb.shape[-2:]
    scale = size / min(height, width)
    small = [max(multiple, round(side * scale / multiple) * multiple) for side in (height, width)]
    whole = lightness(rgb)  # (1, 1, H, W)
    gray = lab_to_rgb(torch.cat([whole, torch.zeros_like(rgb[:, :2])], 1))
    # RGB is resized before Lab is taken: averaging L would not be the L of the average.
    seen = lightness(F.interpolate(gray, small, mode="bilinear", antialias=True, align_corners=False))
    ab = upsample_ab(colorizer.colorize(seen).float(), (height, width))
    return lab_to_rgb(torch.cat([whole, ab.to(whole)], 1))


def compare(
    colorizer: Colorizer, image: NDArray[np.uint8], size: int, device: torch.device
) -> NDArray[np.uint8]:
    """Lay gray, coloured and original side by side: (H, W, 3) → (H, 3·W + 2·GAP, 3)."""
    rgb = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    gray = lab_to_rgb(torch.cat([lightness(rgb), torch.zeros_like(rgb[:, :2])], 1))
    gap = torch.ones_like(rgb[..., :GAP])
    if gap.shape[-1] < GAP:  # an image narrower than the gap
        gap = rgb.new_ones(1, 3, rgb.shape[-2], GAP)
    row = torch.cat([gray, gap, colour(colorizer, rgb, size), gap, rgb], dim=-1)
    return (row[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()


def comparisons(source: Path, folder: Path) -> dict[Path, Path]:
    """Where the comparison of a file, or of every image of a folder, goes: a PNG by its name below `source`.

    Raises:
        FileNotFoundError: as `find`.
    """
    files = find(source)
    stems = Counter(file.with_suffix("") for file in files)
    targets = {}
    for file in files:
        inside = file.relative_to(source) if source.is_dir() else Path(file.name)
        ambiguous = stems[file.with_suffix("")] > 1
        targets[file] = folder / inside.with_name(f"{inside.name if ambiguous else inside.stem}.png")
    return targets


def colorize_file(colorizer: Colorizer, file: Path, target: Path, size: int, device: torch.device) -> None:
    """Colour one photograph and write the comparison.

    Raises:
        BadImage: no readable image; the message names it.
    """
    picture = compare(colorizer, decode_rgb(file), size, device)
    with replacing(target) as stream:
        Image.fromarray(picture).save(stream, format="PNG")
