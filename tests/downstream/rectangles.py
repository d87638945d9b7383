"""Scenes of coloured rectangles, and an encoder for them."""

from __future__ import annotations

import numpy as np
import torch

from pretext import inputs
from pretext.backbones import SmallNet
from pretext.data.dataset import Boxes, Split
from pretext.encoder import Encoder

COLOURS = np.array([[230, 40, 40], [40, 200, 60], [50, 80, 230]], np.uint8)


def rectangles(images: int, seed: int, name: str = "train", size: int = 64) -> Split:
    """Up to two coloured rectangles on gray; the colour is the class; some images are empty."""
    rng = np.random.default_rng(seed)
    pixels = np.full((images, size, size, 3), 128, np.uint8)
    pixels += rng.integers(0, 20, pixels.shape, dtype=np.uint8)
    boxes, labels, counts = [], [], []
    for image in pixels:
        halves = rng.permutation(2)[: rng.integers(0, 3)]
        for half in halves:
            label = int(rng.integers(len(COLOURS)))
            width, height = rng.integers(14, size // 2 - 4, 2)
            x = half * size // 2 + rng.integers(0, size // 2 - width)
            y = rng.integers(0, size - height)
            image[y : y + height, x : x + width] = COLOURS[label]
            boxes.append((x, y, x + width, y + height))
            labels.append(label)
        counts.append(len(halves))
    return Split(
        name,
        pixels,
        f"rectangles {images} {seed} {size}",
        boxes=Boxes(
            np.cumsum([0, *counts]).astype(np.int64),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(labels, np.int64),
            np.zeros(len(labels), np.bool_),
        ),
    )


def small(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(inputs.build("rgb"), SmallNet(3, widths=(8, 8, 16, 16, 16))).eval()
