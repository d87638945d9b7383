"""An easy set that carries every kind of label, and an encoder for it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from downstream.features.extraction import load_images
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.data.dataset import Boxes, DataSet, Split
from pretext.encoder import Encoder, recalibrate_batchnorm

SIZE = 64
CLASSES = ("upright", "level", "checkered")
GROUND, DARK, LIGHT = (110, 120, 130), (100, 40, 20), (220, 150, 90)
BAR = 4
"""Pixels a bar is wide."""

MAGNITUDE = 4.0
"""What features are multiplied by: at 1, the small rates of some papers need more steps than a test has."""


def easy_set(train: int = 300, val: int = 60, test: int = 90) -> DataSet:
    """One textured rectangle an image, on even ground; the direction of its bars is the class.

    Classes are equally frequent and share their colours: histograms tell nothing, and places and sizes are
    drawn alike.
    """
    splits = (
        _split(name, count, seed)
        for seed, (name, count) in enumerate({"train": train, "val": val, "test": test}.items())
    )
    return DataSet("easy", *splits, CLASSES, CLASSES, ("ground", *CLASSES))


def easy_encoder(split: Split, widths: tuple[int, ...] = (16, 16, 24, 24, 16)) -> Encoder:
    """A network whose last map tells the classes and the ground apart, cell by cell."""
    assert split.masks is not None
    images = load_images(split, slice(None), torch.device("cpu"))
    cells = torch.from_numpy(split.masks[:, 4::8, 4::8]).long()  # at the last stage's stride
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder(inputs.build("rgb"), SmallNet(3, widths))
        head = nn.Conv2d(widths[-1], len(CLASSES) + 1, 1)
        optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 5e-3)
        for _ in range(4):
            for index in torch.randperm(len(images)).split(20):
                loss = F.cross_entropy(head(encoder(images[index]).maps["conv5"]), cells[index])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                for value in module.parameters():
                    value.mul_(MAGNITUDE)
    recalibrate_batchnorm(encoder, [images])
    return encoder.eval()


def _split(name: str, count: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(CLASSES))
    pixels = np.empty((count, SIZE, SIZE, 3), np.int64)
    pixels[:] = GROUND
    masks = np.zeros((count, SIZE, SIZE), np.uint8)
    boxes = np.empty((count, 4), np.int64)
    for image, mask, box, label in zip(pixels, masks, boxes, labels, strict=True):
        width, height = rng.integers(20, 45, 2)
        left, top = rng.integers(0, SIZE - width + 1), rng.integers(0, SIZE - height + 1)
        box[:] = left, top, left + width, top + height
        inside = np.s_[top : top + height, left : left + width]
        image[inside] = np.where(_texture(int(label), height, width, rng)[..., None], LIGHT, DARK)
        mask[inside] = label + 1
    pixels += rng.integers(-12, 13, pixels.shape)
    return Split(
        name,
        pixels.astype(np.uint8),
        f"easy {count} {seed}",
        labels=labels,
        boxes=Boxes(np.arange(count + 1), boxes.astype(np.float32), labels, np.zeros(count, np.bool_)),
        masks=masks,
    )


def _texture(label: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Light or dark (height, width), at a random phase."""
    y, x = np.arange(height)[:, None] + rng.integers(2 * BAR), np.arange(width) + rng.integers(2 * BAR)
    upright, level = (x // BAR) % 2 == 0, (y // BAR) % 2 == 0
    texture: NDArray[np.bool_] = (upright | (y < 0), level | (x < 0), upright ^ level)[label]
    return texture
