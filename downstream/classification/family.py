"""What protocols that classify images have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.baselines import blind_classifiers
from downstream.classification.labels import check_labels, classification_metrics
from downstream.protocol import BlindPredictor, Measure, Protocol
from pretext.data.dataset import Split
from pretext.data.split import limit


@dataclass(frozen=True)
class Labelled(Protocol):
    """Judged by the labels of images, one class each or several.

    Args:
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    train_limit: int | None = field(default=None, kw_only=True)

    task = "classification"

    def check(self, train: Split, *held: Split) -> None:
        """See `check_labels`; what `requires` asks."""
        train = limit(train, self.train_limit)
        check_labels(train, *held)
        self.requires(train, *held)

    def requires(self, train: Split, *held: Split) -> None:
        """Refuse what labels do not tell.

        Args:
            train: within `train_limit`.
            held: as in `check`.

        Raises:
            ValueError: names the split and what does not fit.
        """


@dataclass(frozen=True)
class Classification(Labelled):
    """Images are told apart by class: by top-1 where each has one class, by mAP where it may have several."""

    def metrics(self, split: Split) -> dict[str, Measure]:
        """See `classification_metrics`."""
        return classification_metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_classifiers`."""
        return blind_classifiers()
