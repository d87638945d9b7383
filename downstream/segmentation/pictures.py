"""Images, true masks and predicted masks side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import IGNORE, Split

GAP = 2


def palette() -> NDArray[np.uint8]:
    """PASCAL VOC's colours of the classes 0 … 255, (256, 3); its last is the colour of unlabelled pixels."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    for channel in range(3):
        for bit in range(8):  # bit 3·i + channel of the class is bit 7 − i of the channel's level
            source = 3 * bit + channel
            colours[:, channel] |= (((np.arange(256) >> source) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def side_by_side(images: Split, prediction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One row an image: image, true mask where there is one, predicted mask; (H, W, 3) uint8.

    Unlabelled pixels are shown as such in the prediction too, since nobody scores them.
    """
    colours = palette()
    pixels = np.array(images.pixels[slice(None)])  # (N, H, W, 3)
    columns = [pixels]
    if images.masks is not None:
        truth = np.asarray(images.masks)
        prediction = np.where(truth == IGNORE, IGNORE, prediction)
        columns.append(colours[truth])
    columns.append(colours[prediction])
    framed = [np.pad(c, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255) for c in columns]
    rows = np.concatenate(framed, axis=2)  # (N, H, ΣW, 3)
    return np.asarray(rows.reshape(-1, *rows.shape[2:]), dtype=np.uint8)
