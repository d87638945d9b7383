"""Heads that classify images, kept: scores of new images, and what they say of the classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from downstream.classification.labels import check_against
from downstream.head import Head, Prediction
from downstream.protocol import Predictions, Runtime
from pretext.data.dataset import Split

SHOWN = 5
"""Classes that are named of an image, the likeliest first."""


@dataclass(frozen=True)
class ClassScores(Prediction):
    """Scores of the classes of every image, higher is likelier.

    Attributes:
        scores: (N, C) float32.
        several: whether an image may show several classes.
        logits: whether they are logits; else they order classes and are no probabilities.
    """

    scores: NDArray[np.float32]
    several: bool
    logits: bool

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """(N, C) in [0, 1]: of one class an image they sum to 1, of several each stands for itself."""
        if not self.logits:
            return None
        values = self.scores.astype(np.float64)
        return np.asarray(expit(values) if self.several else softmax(values, axis=1), np.float32)

    def best(self, count: int = SHOWN) -> NDArray[np.int64]:
        """The classes with the highest scores (N, min(count, C)), the highest first."""
        return np.argsort(-self.scores, axis=1, kind="stable")[:, :count]

    def told(self, image: int, names: Sequence[str]) -> dict[str, Any]:
        """The five likeliest classes; where there may be several, whether each is taken to be there."""
        values, kind = (
            (self.scores, "score") if self.probabilities is None else (self.probabilities, "probability")
        )
        return {
            "classes": [
                {
                    "class": named(label, names),
                    kind: float(values[image, label]),
                    **({"shown": bool(self.scores[image, label] > 0)} if self.several else {}),
                }
                for label in self.best()[image].tolist()
            ]
        }

    def line(self, image: int, names: Sequence[str]) -> str:
        """The likeliest classes, each with its probability, or its score where that is none."""
        said = []
        for entry in self.told(image, names)["classes"]:
            number = f"{entry['probability']:.1%}" if self.logits else f"{entry['score']:.3g}"
            said.append(f"{entry['class']} {number}")
        return ", ".join(said)


def named(label: int, names: Sequence[str]) -> str:
    """What a class is called; its number where it has no name."""
    return names[label] if label < len(names) else f"class {label}"


@dataclass(frozen=True, kw_only=True)
class Classifying(Head, ABC):
    """Scores classes.

    Attributes:
        several: whether an image may show several of them.
    """

    classes: int
    several: bool

    @property
    def gives_logits(self) -> bool:
        """Whether scores are logits, of which there are probabilities."""
        return True

    @abstractmethod
    def scores(self, images: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Scores (N, C)."""

    def complete(self, rows: Predictions, split: Split) -> Predictions:
        """Rows with what else the metrics take."""
        return rows

    def predict(self, images: Split, runtime: Runtime) -> ClassScores:
        """See `scores`."""
        return ClassScores(self.scores(images, runtime), self.several, self.gives_logits)

    def rows(self, split: Split, runtime: Runtime) -> Predictions:
        """Rows {"scores": (N, C), "labels"}, and what `complete` adds."""
        labels = check_against(split, self.several, self.classes)
        return self.complete({"scores": self.scores(split, runtime), "labels": labels}, split)
