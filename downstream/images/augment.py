"""How training images are varied before they reach an encoder: drawn anew for each image, size kept."""

from __future__ import annotations

import typing
from dataclasses import dataclass

import torch
from torch import Tensor

from pretext.views import random_crop_flip, random_resized_crop


class Augmentation(typing.Protocol):
    """A frozen dataclass; draws from a CPU generator, so that every device gets the same images."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Vary square images (B, 3, H, H) in [0, 1]; the size stays.

        Raises:
            ValueError: images that are not square.
        """
        ...


@dataclass(frozen=True)
class ShiftedCrop:
    """Shift each image, and mirror half of them: what is left of a random crop where no larger image is.

    A crop of 227 out of 256 pixels moves by up to 14, one sixteenth of what is seen. Beyond its border an
    image is continued in its mirror image.

    Args:
        shift: largest shift either way, as a part of the side, in [0, 1); whole pixels.
        flip: probability of the mirror image.

    Raises:
        ValueError: a value out of range.
    """

    shift: float = 0.0625
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.shift < 1:
            raise ValueError(f"ShiftedCrop: shift must be in [0, 1), got {self.shift}")
        _check_probability(self, self.flip)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Shift and mirror (B, 3, H, H)."""
        side = _side(images)
        return random_crop_flip(images, side, generator, round(self.shift * side), self.flip)


@dataclass(frozen=True)
class ResizedCrop:
    """A crop of random area and aspect, resized to the image's size (arXiv:1409.4842); half are mirrored.

    Args:
        scale: least and largest part of the image's area, in (0, 1].
        ratio: least and largest width/height.
        flip: probability of the mirror image.

    Raises:
        ValueError: a value out of range.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333333333333333)
    flip: float = 0.5

    def __post_init__(self) -> None:
        # Lists and integers come from configuration files.
        for name in ("scale", "ratio"):
            pair = tuple(float(end) for end in getattr(self, name))
            object.__setattr__(self, name, pair)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise ValueError(f"ResizedCrop: {name} must be two positive numbers in order, got {pair}")
        if self.scale[1] > 1:
            raise ValueError(f"ResizedCrop: scale must end at 1 at most, got {self.scale}")
        _check_probability(self, self.flip)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Crop, resize and mirror (B, 3, H, H)."""
        return random_resized_crop(images, _side(images), generator, self.scale, self.ratio, self.flip)


def check_square(height: int, width: int) -> None:
    """Raise ValueError for images that no `Augmentation` takes."""
    if height != width:
        raise ValueError(f"random crops of the image's own size need square images, got {height}×{width}")


def _side(images: Tensor) -> int:
    height, width = images.shape[-2:]
    check_square(height, width)
    return height


def _check_probability(of: object, flip: float) -> None:
    if not 0 <= flip <= 1:
        raise ValueError(f"{type(of).__name__}: flip must be in [0, 1], got {flip}")
