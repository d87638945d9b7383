"""Encoder-blind segmentation: what is reached from where a pixel lies alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from downstream.metrics import confusion
from downstream.protocol import BlindPredictor, Rows, Runtime
from downstream.segmentation.masks import check_against, fitted_classes, image_size, masks_of
from pretext.data.dataset import Split

CHUNK = 500


@dataclass(frozen=True)
class AllBackground(BlindPredictor):
    """Class 0 everywhere."""

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Rows]:
        """Learn the number of classes."""
        return _everywhere(np.zeros(image_size(train), dtype=np.int64), fitted_classes(train))


@dataclass(frozen=True)
class PositionPrior(BlindPredictor):
    """The class that is most frequent in train at each pixel.

    Args:
        balanced: divide by how frequent each class is over all pixels, so that rare classes are predicted
            where they are most at home.
    """

    balanced: bool = False

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Rows]:
        """Count the classes of train by position."""
        classes, masks = fitted_classes(train), masks_of(train)
        counts = np.zeros((classes, *image_size(train)), dtype=np.int64)
        for start in range(0, len(masks), CHUNK):
            part = np.asarray(masks[start : start + CHUNK])
            for k in range(classes):
                counts[k] += (part == k).sum(0)
        weight = 1 / counts.sum((1, 2)) if self.balanced else np.ones(classes)
        return _everywhere((counts * weight[:, None, None]).argmax(0), classes)


def blind_segmenters() -> dict[str, BlindPredictor]:
    """The predictors that segmentation is read against."""
    return {
        "all_background": AllBackground(),
        "position_prior": PositionPrior(),
        "balanced_position_prior": PositionPrior(balanced=True),
    }


def _everywhere(prediction: NDArray[np.int64], classes: int) -> Callable[[Split], Rows]:
    """Predict the same (H, W) for every image."""

    def predict(split: Split) -> Rows:
        masks = check_against(split, classes)
        if masks.shape[1:] != prediction.shape:
            raise ValueError(
                f"split {split.name!r} has images of {masks.shape[1:]}, train of {prediction.shape}: "
                "a position prior needs the same size"
            )
        parts = [np.asarray(masks[start : start + CHUNK]) for start in range(0, len(masks), CHUNK)]
        rows = [confusion(np.broadcast_to(prediction, part.shape), part, classes) for part in parts]
        return {"confusion": np.concatenate(rows)}

    return predict
