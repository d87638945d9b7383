"""What colours lightness: the face of every system, trained or not, and what a person can give beside it."""

from __future__ import annotations

import enum
import typing
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from pretext.task import Loader


class Scribbles(NamedTuple):
    """Colours that somebody marked.

    ab: (2, H, W), read where marked. marked: (H, W) bool.
    """

    ab: Tensor
    marked: Tensor


class Hints(NamedTuple):
    """What is given beside one image; a system reads what its paper assumes.

    Attributes:
        references: coloured pictures to take colours from, each (3, h, w) RGB in [0, 1].
        scribbles: colours at some pixels of the image itself.
        label: what the image shows, a class of the set that the system was fitted on.
        mask: (H, W) bool, true on that object.
    """

    references: tuple[Tensor, ...] = ()
    scribbles: Scribbles | None = None
    label: int | None = None
    mask: Tensor | None = None


class Division(enum.Enum):
    """Who is ranked with whom: by what a system is told beside the image's lightness."""

    AUTOMATIC = "automatic"
    """Nothing, or references that it finds itself in the training set."""
    ASSISTED = "assisted"
    """What its paper lets a person give: scribbles, chosen references, a label and a mask."""
    ORACLE = "oracle"
    """Something of the answer: never ranked."""


class Colorizer(typing.Protocol):
    """Whatever colours lightness: a trained task, or a system of `pretext.colorizers`."""

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """Colour images of any size.

        Args:
            lightness: L in [0, 100], (B, 1, H, W).
            hints: one an image, or none at all.

        Returns: ab (B, 2, h, w) at any resolution of the same frame, finite.

        Raises:
            ValueError: hints that the system needs are missing, or do not fit; the message names them.
        """
        ...


class Fitted(typing.Protocol):
    """A system that learns, or looks up, colours of training images before it colours."""

    def fit(self, loader: Loader, seed: int) -> None:
        """See training images, RGB (B, 3, H, W) in [0, 1] with labels where the set has them.

        Raises:
            ValueError: too few images, or labels missing where they are needed.
        """
        ...
