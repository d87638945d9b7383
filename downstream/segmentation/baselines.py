"""Encoder-blind segmentation: what is reached from where a pixel lies alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from downstream.metrics.scores import confusion, miou
from downstream.protocol import BlindPredictor, Predictions, Runtime
from downstream.segmentation.masks import check_against, fitted_classes, image_size, masks_of
from pretext.data.dataset import Split

CHUNK = 500


@dataclass(frozen=True)
class AllBackground(BlindPredictor):
    """Class 0 everywhere."""

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Learn the number of classes."""
        return _everywhere(np.zeros(image_size(train), dtype=np.int64), fitted_classes(train))


@dataclass(frozen=True)
class PositionPrior(BlindPredictor):
    """The class that is most frequent in train at each pixel, for its share of all pixels to a power.

    Args:
        powers: 0 is the plain prior; with 1, rare classes are predicted where they are most at home. Among
            several, the one with the best mIoU on val.
    """

    powers: tuple[float, ...] = (0.0,)

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Count the classes of train by position; choose the power."""
        classes, masks = fitted_classes(train), masks_of(train)
        counts = np.zeros((classes, *image_size(train)), dtype=np.int64)
        for start in range(0, len(masks), CHUNK):
            part = np.asarray(masks[start : start + CHUNK])
            for k in range(classes):
                counts[k] += (part == k).sum(0)
        shares = counts.sum((1, 2), keepdims=True) / counts.sum()
        ways = [_everywhere((counts / shares**power).argmax(0), classes) for power in self.powers]
        scores = [miou(way(val)["confusion"]) for way in ways] if len(ways) > 1 else [0.0]
        return ways[int(np.argmax(scores))]


def blind_segmenters() -> dict[str, BlindPredictor]:
    """The predictors that segmentation is read against."""
    return {
        "all_background": AllBackground(),
        "position_prior": PositionPrior(),
        "balanced_position_prior": PositionPrior((1.0,)),
        "adjusted_position_prior": PositionPrior((0.0, 0.25, 0.5, 0.75, 1.0)),
    }


def _everywhere(prediction: NDArray[np.int64], classes: int) -> Callable[[Split], Predictions]:
    """Predict the same (H, W) for every image."""

    def predict(split: Split) -> Predictions:
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
