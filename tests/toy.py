"""Small encoders and image sets for the tests of tasks and of pretraining."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from pretext import inputs
from pretext.backbones import SmallNet
from pretext.backbones.vit import VisionTransformer
from pretext.data.dataset import DataSet, Split
from pretext.data.embedded import scenes
from pretext.encoder import Encoder
from pretext.task import Images

WIDTHS = (8, 8, 8, 8, 8)
CLASSES = 3


def encoder(input: str = "lightness", widths: tuple[int, ...] = WIDTHS, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    seen = inputs.build(input)
    return Encoder(seen, SmallNet(seen.channels, widths))


def token_encoder(input: str = "lightness", seed: int = 0) -> Encoder:
    """A Vision Transformer for 32 pixels: 16 patches."""
    torch.manual_seed(seed)
    seen = inputs.build(input)
    backbone = VisionTransformer(
        seen.channels, image_size=32, patch_size=8, width=24, depth=2, heads=2, every=1
    )
    return Encoder(seen, backbone)


def stripes(count: int, seed: int, size: int = 32) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Stripes: the spacing decides the class and the class a hue; direction, phase and lightness are free."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    hues = np.array([[220, 90, 90], [90, 190, 90], [100, 110, 230]])
    spacing = np.array([0.3, 0.9, 2.2])[labels]
    wave = 0.7 + 0.3 * np.sin(spacing[:, None] * np.arange(size) + draw.uniform(0, 6, (count, 1)))  # (N, W)
    level = draw.uniform(0.6, 1, (count, 1, 1, 1))
    images = wave[:, None, :, None] * hues[labels][:, None, None] * level * np.ones((1, size, 1, 1))
    turned = draw.random(count) < 0.5
    images[turned] = images[turned].transpose(0, 2, 1, 3)
    return images.round().astype(np.uint8), labels.astype(np.int64)


def split(count: int, seed: int, name: str = "train", size: int = 32) -> Split:
    pixels, labels = stripes(count, seed, size)
    return Split(name, pixels, f"stripes-{name}-{count}-{seed}-{size}", labels)


def batch(count: int = 8, seed: int = 0, size: int = 32) -> Images:
    pixels, labels = stripes(count, seed, size)
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return Images(floats, torch.arange(count), torch.from_numpy(labels))


def named_scenes(cache: str, name: str, seed: int) -> DataSet:
    """A handful of scenes under a name of their own."""
    return replace(scenes(cache, train=64, val=32, test=32, seed=seed, workers=1), name=name)
