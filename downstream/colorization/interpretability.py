"""Whether a classifier of ImageNet knows what coloured images show (Zhang et al. 2016, arXiv:1603.08511)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.protocol import Judgement, Measure, Predictions
from pretext.data.dataset import Pixels, Split
from pretext.data.loader import fetch

TOGETHER = 32
"""Pictures that a classifier sees at once."""

Classifier = Callable[[Tensor], Tensor]
"""RGB (B, 3, H, W) in [0, 1] → scores of its classes (B, C)."""


@dataclass(frozen=True)
class SemanticInterpretability(Judgement):
    """How often an ImageNet classifier, trained on others' pictures, knows coloured images.

    The paper's classifier is VGG-16 on ImageNet's own val images; no value is comparable with those. What
    ground truth scores is what the classifier can do on these images at all.

    Args:
        classifier: the name and digest of its weights.
        labelled: whether all classes of the images are classes of ImageNet, so that it can be right.
    """

    classifier: str
    labelled: bool = False

    name = "semantic_interpretability"
    version = 1
    task = "colorization"
    trains_encoder = False
    paper = "arXiv:1603.08511"

    def metrics(self, split: Split) -> dict[str, Measure]:
        """Being right where labels tell it, and saying the same of the coloured and the original."""
        alike = {"imagenet_alike": Measure(imagenet_alike, resampled=True)}
        return {"imagenet_top1": Measure(imagenet_top1, resampled=True)} | alike if self.labelled else alike


def imagenet_top1(rows: Predictions) -> float:
    """Share of coloured images whose first of the thousand classes is the image's own."""
    return float(rows["right"].mean())


def imagenet_alike(rows: Predictions) -> float:
    """Share of images that are taken for the same class, coloured and original; needs no labels."""
    return float((rows["class"] == rows["true_class"]).mean())


def classes_of(classifier: Classifier, pictures: Pixels, device: torch.device) -> NDArray[np.int64]:
    """The first class (N,) of pictures (N, H, W, 3)."""
    found = [np.zeros(0, np.int64)]
    for begin in range(0, len(pictures), TOGETHER):
        places = np.arange(begin, min(begin + TOGETHER, len(pictures)))
        with torch.no_grad():
            scores = classifier(fetch(pictures, places, device))
        found.append(scores.argmax(1).cpu().numpy())
    return np.concatenate(found)


def interpreted(
    found: NDArray[np.int64],
    truly: NDArray[np.int64],
    labels: NDArray[np.int64] | None = None,
    counterparts: Sequence[Sequence[int]] | None = None,
) -> Predictions:
    """Rows of `SemanticInterpretability`.

    Args:
        found, truly: the classifier's class of each coloured image and of its original, (N,).
        labels: of the images, (N,), where `counterparts` has the classifier's classes for each of theirs.
    """
    rows = {"class": found.astype(np.float64), "true_class": truly.astype(np.float64)}
    if labels is not None and counterparts is not None:
        right = [
            own in counterparts[label] for own, label in zip(found.tolist(), labels.tolist(), strict=True)
        ]
        rows["right"] = np.array(right, np.float64)
    return rows
