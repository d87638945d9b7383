"""Colour photographs of any size: the colours come from a small copy, the lightness stays the original's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pretext.atomic import replacing
from pretext.color import lab_to_rgb, lightness, upsample_ab
from pretext.colorizers.beside import at_size, check_size
from pretext.colorizers.contract import Colorizer, Hints
from pretext.data.decode import BadImage, decode_rgb

GAP = 8
"""White pixels between the panels of a comparison."""


@torch.no_grad()
def colour(
    colorizer: Colorizer, rgb: Tensor, size: int, multiple: int = 8, hints: Hints | None = None
) -> Tensor:
    """Colour an image from its lightness, and what is given beside it.

    Args:
        rgb: (1, 3, H, W) in [0, 1], any size; its colours are not used.
        size: shorter side of the copy that the network sees; about what it was trained on.
        multiple: both sides of the copy are multiples of it, the network's largest stride.
        hints: at the image's own size; None for none.

    Raises:
        ValueError: scribbles or a mask of another size.

    Returns:
        (1, 3, H, W) in [0, 1] with the original lightness where the gamut allows.
    """
    height, width = rgb.shape[-2:]
    if hints is not None:
        check_size(hints, (height, width))
    scale = size / min(height, width)
    small = [max(multiple, round(side * scale / multiple) * multiple) for side in (height, width)]
    whole = lightness(rgb)  # (1, 1, H, W)
    gray = lab_to_rgb(torch.cat([whole, torch.zeros_like(rgb[:, :2])], 1))
    # RGB is resized before Lab is taken: averaging L would not be the L of the average.
    seen = lightness(F.interpolate(gray, small, mode="bilinear", antialias=True, align_corners=False))
    given = () if hints is None else (at_size(hints, (small[0], small[1])),)
    ab = upsample_ab(colorizer.colorize(seen, given).float(), (height, width))
    return lab_to_rgb(torch.cat([whole, ab.to(whole)], 1))


def compare(
    colorizer: Colorizer,
    image: NDArray[np.uint8],
    size: int,
    device: torch.device,
    hints: Hints | None = None,
) -> NDArray[np.uint8]:
    """Lay gray, coloured and original side by side: (H, W, 3) → (H, 3·W + 2·GAP, 3)."""
    rgb = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    gray = lab_to_rgb(torch.cat([lightness(rgb), torch.zeros_like(rgb[:, :2])], 1))
    gap = torch.ones_like(rgb[..., :GAP])
    if gap.shape[-1] < GAP:  # an image narrower than the gap
        gap = rgb.new_ones(1, 3, rgb.shape[-2], GAP)
    row = torch.cat([gray, gap, colour(colorizer, rgb, size, hints=hints), gap, rgb], dim=-1)
    return (row[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()


def colorize_file(
    colorizer: Colorizer,
    file: Path,
    target: Path,
    size: int,
    device: torch.device,
    hints: Hints | None = None,
) -> None:
    """Colour one photograph and write the comparison.

    Raises:
        BadImage: no readable image, or one that the colorizer cannot colour, or not with these hints; the
            message names it.
    """
    image = decode_rgb(file)
    try:
        picture = compare(colorizer, image, size, device, hints)
    except ValueError as error:
        raise BadImage(str(file), str(error)) from error
    with replacing(target) as stream:
        Image.fromarray(picture).save(stream, format="PNG")
