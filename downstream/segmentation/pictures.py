"""Images, true masks and predicted masks side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import IGNORE, Split
from pretext.pictures import Color, contact_sheet


def palette() -> NDArray[np.uint8]:
    """PASCAL VOC's colours of the classes 0 … 255, (256, 3); its last is the colour of unlabelled pixels."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    for channel in range(3):
        for bit in range(8):  # bit 3·i + channel of the class is bit 7 − i of the channel's level
            source = 3 * bit + channel
            colours[:, channel] |= (((np.arange(256) >> source) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def side_by_side(
    images: Split, prediction: NDArray[np.uint8], names: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Image, true mask where there is one, and predicted mask of each image, the classes named below.

    Unlabelled pixels are shown as such in the prediction too, since nobody scores them.

    Args:
        prediction: (N, H, W) classes.
        names: of the classes, the background first; their numbers without them.

    Returns:
        (H', W', 3) uint8, see `contact_sheet`.
    """
    colours = palette()
    columns = {"image": np.array(images.pixels[slice(None)])}  # (N, H, W, 3)
    shown = [prediction]
    if images.masks is not None:
        truth = np.asarray(images.masks)
        prediction = np.where(truth == IGNORE, IGNORE, prediction)
        columns["truth"] = colours[truth]
        shown = [prediction, truth]
    columns["predicted"] = colours[prediction]
    labels = np.unique(np.concatenate([part.ravel() for part in shown])).tolist()
    return contact_sheet(columns, [(named(label, names), _color(colours[label])) for label in labels])


def named(label: int, names: Sequence[str]) -> str:
    """What a class is called; its number where it has no name."""
    if label == IGNORE:
        return "unlabelled"
    return names[label] if label < len(names) else f"class {label}"


def _color(entry: NDArray[np.uint8]) -> Color:
    red, green, blue = entry.tolist()
    return red, green, blue
