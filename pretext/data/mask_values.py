"""The values of masks in files, and the classes that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import IGNORE
from pretext.data.source import BadArchive


def lookup(mask: NDArray[np.uint8], mapped: Mapping[int, int], classes: int, title: str) -> NDArray[np.uint8]:
    """A mask (H, W) of classes or IGNORE, from one of values.

    Args:
        mapped: value → class or IGNORE; other values are classes, or IGNORE, themselves.
        classes: how many there are, with the background.

    Raises: BadArchive for a value that stands for no class.
    """
    if mapped:
        table = np.arange(256)
        table[list(mapped)] = list(mapped.values())
        mask = table[mask].astype(np.uint8)
    wrong = mask[(mask >= classes) & (mask != IGNORE)]
    if len(wrong):
        raise BadArchive(
            f"{title} holds the label {wrong[0]}, classes end at {classes - 1}; "
            f"'data.mask_map={{{wrong[0]}: 1}}' reads it as class 1, for instance"
        )
    return mask


def check_map(mapped: Mapping[int, int], classes: int) -> None:
    """Raise ValueError for a map of what is no value of a mask, or to what is no class."""
    for value, label in mapped.items():
        if not (isinstance(value, int) and 0 <= value <= 255):
            raise ValueError(f"mask_map maps values of 0 to 255, not {value!r}")
        if label != IGNORE and not (isinstance(label, int) and 0 <= label < classes):
            raise ValueError(
                f"mask_map maps {value} to {label!r}; classes are 0 to {classes - 1}, and {IGNORE} is ignored"
            )


def check_classes_occur(
    masks: NDArray[np.uint8], names: Sequence[str], title: str, values: Callable[[], list[int]]
) -> None:
    """Raise BadArchive where the masks (N, H, W) of training images hold no class but the background.

    Args:
        names: of the classes, the background first. title: of the set.
        values: those in the files, asked for only if there is something to say.
    """
    for image in masks:  # the first image is mostly enough
        if ((image > 0) & (image < len(names))).any():
            return
    found = values()
    ignored = f", of which {IGNORE} is ignored" if IGNORE in found else ""
    odd = next((value for value in reversed(found) if value), 1)
    raise BadArchive(
        f"{title}: the masks of train hold the values {', '.join(map(str, found))}{ignored}, and no pixel of "
        f"{' or '.join(names[1:])}: 'data.mask_map={{{odd}: 1}}' reads {odd} as {names[1]}, for instance"
    )
