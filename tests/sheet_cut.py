"""Cuts single pictures out of a contact sheet, by the layout that `contact_sheet` promises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEAD, GAP, SIDE = 28, 6, 192


def cut(
    sheet: NDArray[np.uint8], image: int, column: int, columns: int, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The picture of an image under one of the headings, at its own size (H, W, 3)."""
    height, width = size
    factor = -(-SIDE // min(size))
    tall, wide = height * factor, width * factor
    x = image % 2 * (columns * (wide + GAP) + GAP) + column * (wide + GAP)
    y = HEAD + image // 2 * (tall + 2 * GAP)
    big = sheet[y : y + tall, x : x + wide]
    assert big.shape == (tall, wide, 3)
    return big[::factor, ::factor]
