"""Between the face's batches of tensors and arrays of one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pretext.color import has_color, lab_to_rgb, rgb_to_lab
from pretext.task import Loader

Floats = NDArray[np.float64]


def check_sides(where: str, shape: Sequence[int], least: int) -> None:
    """Raise ValueError for a picture (…, H, W) with a side of fewer pixels; `where` begins the message."""
    height, width = shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"{where}: sides must have {least} pixels or more; got {height}×{width}")


def together(system: str, ab: Sequence[Floats], lightness: Tensor) -> Tensor:
    """The ab (2, h, w) of every image as (B, 2, h, w), of the lightness's kind and on its device.

    Raises:
        ValueError: values that are not finite; the message names system and image.
    """
    for place, values in enumerate(ab):
        if not np.isfinite(values).all():
            raise ValueError(f"{system}, image {place} of the batch of {len(ab)}: colours are not finite")
    if not ab:
        return lightness.new_zeros(0, 2, *lightness.shape[2:])
    return torch.from_numpy(np.stack(ab)).to(lightness)


def lab_of(rgb: Tensor) -> Floats:
    """Lab (3, h, w) of one RGB picture (3, h, w) in [0, 1]."""
    return np.asarray(rgb_to_lab(rgb[None].detach().cpu().double())[0].numpy())


def gray_of(light: Floats) -> Floats:
    """The gray (H, W) in [0, 1] whose lightness is L (H, W)."""
    lab = np.stack([light, np.zeros_like(light), np.zeros_like(light)])
    return np.asarray(lab_to_rgb(torch.from_numpy(lab)[None])[0].mean(0).numpy())


def shrunk(channels: Floats, side: int, least: int) -> Floats:
    """Channels (C, H, W) at a size whose longer side is at most `side`, and no side shorter than `least`."""
    height, width = channels.shape[1:]
    if max(height, width) <= side:
        return channels
    small = [max(least, round(length * side / max(height, width))) for length in (height, width)]
    fewer = F.interpolate(
        torch.from_numpy(channels)[None], small, mode="bilinear", antialias=True, align_corners=False
    )
    return np.asarray(fewer[0].numpy())


def with_color(loader: Loader, images: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Pixels (b, 3, H, W), on the CPU, and labels of those of at most so many training images with colour."""
    for batch in loader.evenly_spaced(images):
        rgb = batch.pixels.detach().cpu()
        kept = has_color(rgb_to_lab(rgb)[:, 1:])
        yield rgb[kept], None if batch.labels is None else batch.labels.cpu()[kept]


def coloured(system: str, loader: Loader, images: int, least: int = 1) -> list[Tensor]:
    """RGB (3, H, W) in [0, 1] of those of at most so many evenly spaced training images that have colour.

    Raises:
        ValueError: fewer than `least` have.
    """
    found = [rgb for pixels, _ in with_color(loader, images) for rgb in pixels]
    if len(found) < least:
        raise ValueError(f"{system}.fit: needs {least} images with colour or more; {len(found)} have any")
    return found
