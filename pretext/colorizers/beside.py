"""What a person lays beside a photograph: references and scribbles, read from files and brought to a size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Hints, Scribbles
from pretext.data.decode import BadImage, decode_rgb, decode_stored

FAINT = 8
"""Levels by which channels of a marked pixel differ, where no transparency says what is marked."""


def read_reference(file: Path) -> Tensor:
    """A picture (3, h, w) in [0, 1].

    Raises:
        BadImage: no readable image; the message names it.
    """
    return torch.from_numpy(decode_rgb(file)).permute(2, 0, 1).float() / 255


def read_scribbles(file: Path) -> Scribbles:
    """Colours painted on a picture: what is opaque is marked, or, without transparency, what is coloured.

    Gray can be marked on a transparent layer alone: on a gray photograph nothing else tells it.

    Raises:
        BadImage: no readable image, or one on which nothing is marked.
    """
    layer = np.asarray(decode_stored(file).convert("RGBA"))  # (H, W, 4)
    rgb, opacity = layer[..., :3], layer[..., 3]
    spread = rgb.max(-1).astype(np.int16) - rgb.min(-1)
    marked = opacity > 127 if (opacity < 255).any() else spread > FAINT
    if not marked.any():
        raise BadImage(str(file), "nothing is marked, neither by colour nor on a transparent layer")
    pixels = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255
    return Scribbles(rgb_to_lab(pixels)[0, 1:], torch.from_numpy(marked))


def check_size(hints: Hints, size: tuple[int, int]) -> None:
    """Raise ValueError for scribbles or a mask that are not of an image's height and width."""
    marked = None if hints.scribbles is None else hints.scribbles.marked
    for what, found in (("scribbles", marked), ("mask", hints.mask)):
        if found is not None and found.shape != size:
            own, wanted = ("×".join(map(str, reversed(shape))) for shape in (found.shape, size))
            raise ValueError(f"its {what} are for {own} pixels, and it has {wanted}")


def at_size(hints: Hints, size: tuple[int, int]) -> Hints:
    """The same beside a copy of the image of that height and width.

    A cell of the copy is marked where one of its pixels is, by the mean of their colours: thin lines stay.
    References are brought to the copy's shorter side.
    """
    references = tuple(_resized(picture, min(size)) for picture in hints.references)
    if hints.scribbles is None:
        return hints._replace(references=references)
    ab, marked = hints.scribbles
    share = F.adaptive_avg_pool2d(marked[None, None].float(), size)[0]  # (1, h, w)
    colours = F.adaptive_avg_pool2d((ab * marked)[None].float(), size)[0] / share.clamp(min=1e-9)
    return hints._replace(references=references, scribbles=Scribbles(colours, share[0] > 0))


def _resized(picture: Tensor, shorter: int) -> Tensor:
    scale = shorter / min(picture.shape[-2:])
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[-2:]]
    found: Tensor = F.interpolate(picture[None], size, mode="bilinear", antialias=True, align_corners=False)[
        0
    ].clamp(0, 1)
    return found
