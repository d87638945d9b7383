"""What a system is given, checked at the door: images one by one, each with its hints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext.color import has_color, rgb_to_lab
from pretext.colorizers.contract import Hints

SLACK = 0.01
"""How far rounding may carry a value over the ends of its range."""


class Given(NamedTuple):
    """One image of a batch.

    Attributes:
        where: system and place in the batch, for errors.
        lightness: (H, W) float64, L in [0, 100].
        hints: what is given beside it.
    """

    where: str
    lightness: NDArray[np.float64]
    hints: Hints

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.lightness.shape
        return height, width


def one_by_one(system: str, lightness: Tensor, hints: Sequence[Hints]) -> Iterator[Given]:
    """The images of a batch.

    Args:
        system: its name, for errors.
        lightness: L in [0, 100], (B, 1, H, W).
        hints: one an image, or none at all.

    Raises:
        ValueError: lightness of another shape, type or range, or hints of another number.
    """
    if lightness.dim() != 4 or lightness.shape[1] != 1 or not lightness.is_floating_point():
        raise ValueError(
            f"{system}: lightness must be a floating-point (B, 1, H, W) tensor; "
            f"got {tuple(lightness.shape)}, {lightness.dtype}"
        )
    if 0 in lightness.shape[2:]:
        raise ValueError(f"{system}: images need a pixel; lightness is {tuple(lightness.shape)}")
    if hints and len(hints) != len(lightness):
        raise ValueError(f"{system}: {len(hints)} hints for {len(lightness)} images; one an image, or none")
    for place, light in enumerate(lightness[:, 0].detach().double().cpu().numpy()):
        where = f"{system}, image {place} of the batch of {len(lightness)}"
        # Not `light.min() < ...`: a NaN must not pass.
        if not (light.min() >= -SLACK and light.max() <= 100 + SLACK):
            raise ValueError(
                f"{where}: lightness must lie in [0, 100]; it reaches from {light.min()} to {light.max()}"
            )
        yield Given(where, light.clip(0, 100), hints[place] if hints else Hints())


def references(given: Given, least: int = 1) -> list[Tensor]:
    """The coloured pictures beside an image, each (3, h, w) in [0, 1].

    Raises:
        ValueError: fewer than `least`, or one that is no such picture or has no colour.
    """
    pictures = given.hints.references
    if len(pictures) < least:
        raise ValueError(f"{given.where}: needs {least} references or more, in colour; got {len(pictures)}")
    for i, picture in enumerate(pictures):
        check_picture(f"{given.where}: reference {i}", picture)
        if not bool(has_color(rgb_to_lab(picture[None])[:, 1:])):
            raise ValueError(f"{given.where}: reference {i} has no colour")
    return list(pictures)


def check_picture(what: str, picture: Tensor) -> None:
    """Raise ValueError for what is no (3, h, w) in [0, 1]; `what` begins the message."""
    if picture.dim() != 3 or len(picture) != 3 or not picture.is_floating_point() or 0 in picture.shape:
        raise ValueError(
            f"{what} must be a floating-point (3, h, w) tensor; got {tuple(picture.shape)}, {picture.dtype}"
        )
    low, high = float(picture.min()), float(picture.max())
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise ValueError(f"{what} must lie in [0, 1]; it reaches from {low} to {high}")


def scribbles(given: Given) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The colours marked on an image, ab (2, H, W) and where (H, W).

    Raises:
        ValueError: none, of another size, or not finite where marked.
    """
    if given.hints.scribbles is None:
        raise ValueError(f"{given.where}: needs scribbles, colours at some of its pixels; got none")
    ab, marked = given.hints.scribbles
    if ab.shape != (2, *given.size) or marked.shape != given.size or marked.dtype != torch.bool:
        raise ValueError(
            f"{given.where}: scribbles must be ab {(2, *given.size)} and a bool map {given.size}; "
            f"got {tuple(ab.shape)}, and {tuple(marked.shape)}, {marked.dtype}"
        )
    if not bool(marked.any()):
        raise ValueError(f"{given.where}: its scribbles mark no pixel")
    if not bool(torch.isfinite(ab[:, marked]).all()):
        raise ValueError(f"{given.where}: its scribbles mark a pixel with a colour that is not finite")
    return ab.detach().double().cpu().numpy(), marked.cpu().numpy()


def mask(given: Given) -> NDArray[np.bool_]:
    """Where an image's object is, (H, W).

    Raises:
        ValueError: no mask, one of another size or type, or one of no pixel.
    """
    found = given.hints.mask
    if found is None:
        raise ValueError(f"{given.where}: needs a mask of the object; got none")
    if found.shape != given.size or found.dtype != torch.bool:
        raise ValueError(
            f"{given.where}: its mask must be a bool map {given.size}; "
            f"got {tuple(found.shape)}, {found.dtype}"
        )
    if not bool(found.any()):
        raise ValueError(f"{given.where}: its mask marks no pixel")
    return np.asarray(found.cpu().numpy(), dtype=bool)
