"""Training whole classifiers, encoder included, and choosing among learning rates on val."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from downstream.classification.family import Labelled
from downstream.classification.head import Classifying
from downstream.classification.labels import fitted_classes, labels_of
from downstream.head import Form
from downstream.protocol import Predictions, Runtime
from downstream.selection import OneSetting, judged
from downstream.tuning.finetuning import outputs, private_copy
from downstream.tuning.rates import Loss, TunedModel, TunedProtocol, tensors_of
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

TRAIN_SCORED = 1000
"""Training examples that the train score is taken on."""

Head = Callable[[int, int], nn.Module]
"""(channels of the stage, number of classes) → a module from its average (B, C) to logits."""


class Classifier(TunedModel):
    """Global average pooling of one stage, and a head on it.

    Attributes:
        classes: their number.
        head: what lies on the average.
    """

    def __init__(self, encoder: Encoder, stage: str, classes: int, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.stage = stage
        self.classes = classes
        self.head = head(encoder.backbone.stage(stage).channels, classes)

    def forward(self, rgb: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to logits (B, C)."""
        pooled = self.encoder(rgb, stop=self.stage).maps[self.stage].mean((2, 3))
        logits: Tensor = self.head(pooled)
        return logits


@dataclass(frozen=True)
class EndToEnd(Labelled, TunedProtocol):
    """A classifier around a copy of the encoder, trained together."""

    @abstractmethod
    def build(self, encoder: Encoder, classes: int, size: tuple[int, int]) -> TunedModel:
        """An untrained classifier of images of (height, width) around a private copy of the encoder."""

    @abstractmethod
    def loss(self, model: TunedModel, train: Split, labels: NDArray[Any], runtime: Runtime) -> Loss:
        """The loss of training examples, which are labelled so."""

    @abstractmethod
    def scores(self, model: TunedModel, split: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Logits (N, C) of a split."""

    def complete(self, rows: Predictions, split: Split) -> Predictions:
        """Rows with what else the metrics take."""
        return rows

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedClassifier:
        """Train one model a learning rate on train, keep the one that is best on val.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; an unknown stage; what
                `requires` refuses.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes, labels = fitted_classes(train), labels_of(train)
        height, width = train.pixels.shape[1:3]
        metric = next(iter(self.metrics(train).values()))

        def rows(model: TunedModel, split: Split) -> Predictions:
            return self._head(model, classes, labels.ndim == 2).rows(split, runtime)

        chosen = self.over_rates(
            encoder,
            lambda own: self.build(own, classes, (height, width)),
            lambda model: self.loss(model, train, labels, runtime),
            lambda model: judged(metric, rows(model, val)),
            (train, val),
            runtime,
        )
        model = chosen.winner.model
        return FittedClassifier(
            stage=model.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=metric(rows(model, limit(train, TRAIN_SCORED))),
            course=chosen.winner.course,
            setting=chosen.winner.trial.setting,
            classifier=self._head(model, classes, labels.ndim == 2),
            runtime=runtime,
        )

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> TunedClassifier:
        """A classifier around a copy of the encoder."""
        model = self.build(private_copy(encoder, runtime.device), form.classes, form.size)
        return self._head(model.to(runtime.device).eval(), form.classes, form.several)

    def _head(self, model: TunedModel, classes: int, several: bool) -> TunedClassifier:
        return TunedClassifier(classes=classes, several=several, protocol=self, model=model)


@dataclass(frozen=True, kw_only=True)
class TunedClassifier(Classifying):
    """A trained classifier, asked as its protocol does; scores are logits."""

    protocol: EndToEnd
    model: TunedModel

    def tensors(self) -> dict[str, Tensor]:
        """The whole model's, its encoder among it."""
        return tensors_of(self.model)

    def scores(self, images: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Logits (N, C)."""
        return self.protocol.scores(self.model, images, runtime)

    def complete(self, rows: Predictions, split: Split) -> Predictions:
        """As the protocol."""
        return self.protocol.complete(rows, split)


@dataclass(frozen=True, kw_only=True)
class FittedClassifier(OneSetting):
    """The trained model with the learning rate that val chose; scores are logits."""

    classifier: TunedClassifier
    runtime: Runtime

    @property
    def head(self) -> TunedClassifier:
        """The model."""
        return self.classifier

    @property
    def model(self) -> TunedModel:
        """What was trained."""
        return self.classifier.model

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"scores": (N, C) logits, "labels"} of the one stage."""
        return {self.stage: self.classifier.rows(test, self.runtime)}


def logits(model: nn.Module, split: Split, runtime: Runtime) -> NDArray[np.float32]:
    """The model's output (N, C) on plain images."""
    return np.concatenate([x.cpu().numpy() for _, x in outputs(model, split, runtime)])
