"""Encoders whose features are known, and images that carry their labels in their pixels."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones import MapBackbone, SmallNet, Stage
from pretext.data.dataset import IGNORE, Split
from pretext.data.split import make_split
from pretext.encoder import Encoder
from pretext.inputs import RGB

SIZE = 16
CLASSES = 5


class Reader(nn.Module):
    """A block that applies a function to the map before it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Planted(MapBackbone):
    """A backbone of given functions; `x` is RGB in levels of 255."""

    def __init__(self, name: str, *stages: tuple[Stage, Callable[[Tensor], Tensor]]) -> None:
        super().__init__(3, [s for s, _ in stages], [Reader(f) for _, f in stages], {"name": name})


def planted(name: str, *stages: tuple[Stage, Callable[[Tensor], Tensor]]) -> Encoder:
    raw = RGB(mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255))
    return Encoder(raw, Planted(name, *stages))


def one_hot_label() -> Encoder:
    """Features are the label, once; the stage after it knows nothing."""

    def read(x: Tensor) -> Tensor:
        label = x[:, 0, 0, 0].round().long()
        return F.one_hot(label, CLASSES).float()[:, :, None, None].expand(-1, -1, 2, 2)

    return planted("label", (Stage("label", CLASSES, 8), read), (Stage("after", CLASSES, 8), torch.ones_like))


def multi_hot_label() -> Encoder:
    def read(x: Tensor) -> Tensor:
        return (x[:, 2, 0, :CLASSES] / 255)[:, :, None, None].expand(-1, -1, 2, 2)

    return planted("labels", (Stage("labels", CLASSES, 8), read))


def constant() -> Encoder:
    return planted("constant", (Stage("constant", 4, 8), lambda x: torch.full((len(x), 4, 2, 2), 0.3)))


def one_hot_mask(stride: int) -> Encoder:
    """Features are the mask, averaged over cells of stride × stride pixels."""

    def read(x: Tensor) -> Tensor:
        mask = F.one_hot(x[:, 1].round().long(), 256)[..., :CLASSES].permute(0, 3, 1, 2).float()
        return F.avg_pool2d(mask, stride)

    return planted(f"mask{stride}", (Stage("mask", CLASSES, stride), read))


def small_encoder(seed: int = 0, widths: tuple[int, ...] = (8, 8, 8, 8, 8)) -> Encoder:
    """A SmallNet with random weights and BatchNorm statistics that are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(RGB(), SmallNet(3, widths))
        encoder.train()
        with torch.no_grad():
            encoder(torch.rand(16, 3, SIZE, SIZE))
    return encoder.eval()


def single_label(name: str, examples: int, seed: int, permuted: bool = False) -> Split:
    """Noise whose red channel at (0, 0) is the class."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(examples) % CLASSES)
    pixels = generator.integers(0, 256, (examples, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = labels
    return make_split(name, pixels, labels=generator.permutation(labels) if permuted else labels)


def multi_label(name: str, examples: int, seed: int, permuted: bool = False) -> Split:
    """Noise whose blue channel shows in its first row which classes there are."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((examples, CLASSES)) < 0.3).astype(np.uint8)
    pixels = generator.integers(0, 256, (examples, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[:, 0, :CLASSES, 2] = 255 * labels
    return make_split(name, pixels, labels=generator.permutation(labels) if permuted else labels)


def masked(name: str, examples: int, seed: int, permuted: bool = False, ignore: bool = False) -> Split:
    """Two rectangles of random classes on background; the green channel is the mask."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((examples, SIZE, SIZE), dtype=np.uint8)
    for mask in masks:
        for _ in range(2):
            top, left = generator.integers(0, SIZE - 6, 2)
            height, width = generator.integers(4, 9, 2)
            mask[top : top + height, left : left + width] = generator.integers(1, CLASSES)
    pixels = generator.integers(0, 256, (examples, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[..., 1] = masks
    if permuted:
        masks = generator.permutation(masks)
    if ignore:
        masks = np.where(generator.random(masks.shape) < 0.1, IGNORE, masks).astype(np.uint8)
    return make_split(name, pixels, masks=masks)


def labelled(labels: NDArray[np.int64] | NDArray[np.uint8], name: str = "train") -> Split:
    """Noise with given labels."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), SIZE, SIZE, 3), dtype=np.uint8)
    return make_split(name, pixels, labels=labels)
