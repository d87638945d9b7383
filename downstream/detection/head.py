"""Heads that find objects, kept: boxes in new images, with classes and scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from downstream.detection.boxes import check_against
from downstream.detection.draw import LEAST, draw_found, named
from downstream.detection.matching import Detections, detection_rows
from downstream.head import Head, Prediction
from downstream.protocol import Predictions, Runtime
from pretext.data.canvas import Canvas
from pretext.data.dataset import Split


@dataclass(frozen=True)
class FoundObjects(Prediction):
    """Objects found in every image.

    Attributes:
        detections: of all images, those of each in any order.
    """

    detections: Detections

    def __len__(self) -> int:
        return len(self.detections.offsets) - 1

    def told(self, image: int, names: Sequence[str]) -> dict[str, Any]:
        """Every object, the surest first: class, score in [0, 1], box as x1, y1, x2, y2 in pixels."""
        boxes, labels, scores = self.detections.of(image)
        return {
            "objects": [
                {
                    "class": named(int(labels[i]), names),
                    "score": float(scores[i]),
                    "box": [round(float(value), 2) for value in boxes[i]],
                }
                for i in np.argsort(-scores, kind="stable")
            ]
        }

    def line(self, image: int, names: Sequence[str]) -> str:
        """The objects that the picture shows."""
        sure = [one for one in self.told(image, names)["objects"] if one["score"] >= LEAST]
        return ", ".join(f"{one['class']} {one['score']:.2f}" for one in sure) or f"nothing above {LEAST:g}"

    def off(self, canvas: Canvas, height: int, width: int) -> FoundObjects:
        """Boxes cut at the edge of the image, in its own pixels; those in the padding are dropped."""
        tall, wide = canvas.scaled(height, width)
        offsets, xyxy, labels, scores = self.detections
        cut = np.clip(xyxy, 0, [wide, tall] * 2)
        kept = (cut[:, :2] < cut[:, 2:]).all(1)
        grown = (cut * np.array([width / wide, height / tall] * 2)).astype(np.float32)
        counts = np.append(0, np.cumsum(kept))
        return FoundObjects(Detections(counts[offsets], grown[kept], labels[kept], scores[kept]))

    def picture(self, image: int, pixels: NDArray[np.uint8], names: Sequence[str]) -> Image.Image:
        """The image, enlarged where it is small, with the boxes of the surer objects."""
        return Image.fromarray(draw_found(pixels, self.detections, image, names))


@dataclass(frozen=True, kw_only=True)
class Detecting(Head, ABC):
    """Finds objects."""

    classes: int

    @abstractmethod
    def detect(self, images: Split, runtime: Runtime) -> Detections:
        """Objects of every image."""

    def predict(self, images: Split, runtime: Runtime) -> FoundObjects:
        """See `detect`."""
        return FoundObjects(self.detect(images, runtime))

    def rows(self, split: Split, runtime: Runtime) -> Predictions:
        """See `detection_rows`."""
        truth = check_against(split, self.classes)
        return detection_rows(self.detect(split, runtime), truth, self.classes)
