"""Heads that segment images, kept: the class of every pixel of new images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from downstream.head import Head, Prediction
from downstream.protocol import Predictions, Runtime
from downstream.segmentation.masks import check_against, confusion_of
from downstream.segmentation.pictures import named, palette
from pretext.data.canvas import Canvas
from pretext.data.dataset import Split


@dataclass(frozen=True)
class PixelClasses(Prediction):
    """The class of every pixel.

    Attributes:
        masks: (N, H, W) uint8, 0 the background.
    """

    masks: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.masks)

    def shares(self, image: int) -> dict[int, float]:
        """The share of an image's pixels of every class that it shows, the largest first."""
        labels, counts = np.unique(self.masks[image], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {int(labels[i]): float(counts[i] / counts.sum()) for i in order}

    def told(self, image: int, names: Sequence[str]) -> dict[str, Any]:
        """See `shares`, classes by name."""
        return {"shares": {named(label, names): share for label, share in self.shares(image).items()}}

    def line(self, image: int, names: Sequence[str]) -> str:
        """See `shares`."""
        return ", ".join(f"{name} {share:.1%}" for name, share in self.told(image, names)["shares"].items())

    def off(self, canvas: Canvas, height: int, width: int) -> PixelClasses:
        """The masks without padding, enlarged or reduced, each pixel as the nearest one."""
        tall, wide = canvas.scaled(height, width)
        nearest = Image.Resampling.NEAREST
        sized = [Image.fromarray(mask[:tall, :wide]).resize((width, height), nearest) for mask in self.masks]
        return PixelClasses(np.stack([np.asarray(mask) for mask in sized]))

    def picture(self, image: int, pixels: NDArray[np.uint8], names: Sequence[str]) -> Image.Image:
        """The mask as a picture with PASCAL VOC's palette, whose pixel values are the classes."""
        mask = Image.fromarray(self.masks[image], mode="P")
        mask.putpalette(palette().tobytes())
        return mask


@dataclass(frozen=True, kw_only=True)
class Segmenting(Head, ABC):
    """Tells the class of every pixel, the background among them."""

    classes: int

    @abstractmethod
    def masks(self, images: Split, runtime: Runtime) -> Iterator[tuple[slice, Tensor]]:
        """Classes (B, H, W) of images, batch by batch."""

    def predict(self, images: Split, runtime: Runtime) -> PixelClasses:
        """See `masks`."""
        parts = [found.cpu().numpy().astype(np.uint8) for _, found in self.masks(images, runtime)]
        return PixelClasses(np.concatenate(parts))

    def rows(self, split: Split, runtime: Runtime) -> Predictions:
        """Rows {"confusion": (N, K, K) uint32}."""
        truth = check_against(split, self.classes)
        parts = [
            confusion_of(found, truth[where], self.classes) for where, found in self.masks(split, runtime)
        ]
        return {"confusion": np.concatenate(parts)}
