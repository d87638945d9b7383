"""Linear classifiers by SGD on augmented images: fitted at once, chosen on val, scored on plain images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.classification.family import Classification
from downstream.classification.head import Classifying
from downstream.classification.labels import check_against, fitted_classes, labels_of, primary
from downstream.features.extraction import frozen
from downstream.head import Form, WithHead
from downstream.heads.sgd_heads import Heads, Read, Source, score, train_heads
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, check_square
from downstream.protocol import Predictions, Runtime, Trial
from downstream.selection import StageHeads, choose_over_stages, judged, several
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

TRAIN_SCORED = 1000
"""Training examples that the train score is taken on."""


class Choice(NamedTuple):
    """One head of a stage, with what val said of it."""

    trial: Trial
    source: Source
    heads: Heads
    position: int

    @property
    def head(self) -> Heads:
        """The one among those of other rates."""
        return self.heads.alone(self.position)


@dataclass(frozen=True, kw_only=True)
class StreamedLinear(Classifying):
    """A linear layer on one reading of an encoder."""

    encoder: Encoder
    read: Read
    source: Source
    layer: Heads

    def tensors(self) -> dict[str, Tensor]:
        """The layer's, and the statistics that it normalises by."""
        return dict(self.layer.state_dict())

    def scores(self, images: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Logits (N, C)."""
        return score(self.encoder, self.read, {self.source: self.layer}, images, runtime)[self.source][:, 0]


@dataclass(frozen=True, kw_only=True)
class FittedStream(StageHeads[Choice]):
    """One head a stage, each with the setting that val chose; scores are logits."""

    read: Read
    multi_label: bool
    classes: int

    @property
    def head(self) -> StreamedLinear:
        """That of the selected stage."""
        choice = self.chosen[self.stage]
        return StreamedLinear(
            classes=self.classes,
            several=self.multi_label,
            encoder=self.encoder,
            read=self.read,
            source=choice.source,
            layer=choice.head,
        )

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"scores": (N, classes) logits, "labels"} of every stage."""
        labels = check_against(test, self.multi_label, self.classes)
        heads = {choice.source: choice.head for choice in self.chosen.values()}
        scores = score(self.encoder, self.read, heads, test, self.runtime)
        return {source.stage: {"scores": found[:, 0], "labels": labels} for source, found in scores.items()}


@dataclass(frozen=True)
class StreamedProbe(WithHead, Classification):
    """Linear heads trained by SGD on augmented images while they stream through the frozen encoder.

    All heads are trained at once, on the same images; plain images are scored.

    Args:
        recipe: budget and learning rates, each a head of its own.
        augment: how training images are varied.
    """

    recipe: SgdRecipe
    augment: Augmentation

    trains_encoder = False
    chooses: ClassVar[tuple[str, ...]] = ()
    """What val chooses beside the learning rate: "stage", "reading"."""

    @property
    @abstractmethod
    def read(self) -> Read:
        """What heads see of the encoder."""

    @property
    def selects(self) -> tuple[str, ...]:
        """What `chooses` names; the learning rate where there are several."""
        return (*self.chooses, *several(lr=self.recipe.lrs))

    def requires(self, train: Split, *held: Split) -> None:
        """Square images, which augmentation takes."""
        check_square(*train.pixels.shape[1:3])

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> StreamedLinear:
        """A linear layer on what the selected head reads.

        Raises:
            ValueError: nothing of the encoder that is read by that name.
        """
        source = Source(form.stage, str(form.setting.get("reading", "")))
        with frozen(encoder, runtime) as still:
            seen = self.read(still, torch.zeros(1, 3, *form.size, device=runtime.device))
        if source not in seen:
            wanted, *listed = (" ".join(each).strip() for each in (source, *seen))
            raise ValueError(f"{self.name} reads no {wanted!r} of the encoder, but {', '.join(listed)}")
        layer = Heads.unfitted(seen[source].shape[1:], form.classes, self.recipe.normalise)
        return StreamedLinear(
            classes=form.classes,
            several=form.several,
            encoder=encoder,
            read=self.read,
            source=source,
            layer=layer.to(runtime.device),
        )

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedStream:
        """Train a head for every source and learning rate; choose each stage's, and the stage, on val.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; images that are not
                square; a network with fewer blocks than are read.
            FloatingPointError: a feature that is not finite.
            GateFailed: every head diverged.
        """
        self.check(train, val)
        train, read = limit(train, self.train_limit), self.read
        classes, labels = fitted_classes(train), labels_of(train)
        multi_label = labels.ndim == 2
        wanted = check_against(val, multi_label, classes)
        metric = primary(multi_label)
        heads = train_heads(encoder, read, train, labels, classes, self.recipe, self.augment, runtime)

        def choices() -> Iterator[Choice]:
            for source, scores in score(encoder, read, heads, val, runtime).items():
                for p, lr in enumerate(self.recipe.lrs):
                    value = judged(metric, {"scores": scores[:, p], "labels": wanted})
                    setting = {"lr": lr} | ({"reading": source.reading} if source.reading else {})
                    yield Choice(Trial(source.stage, setting, value), source, heads[source], p)

        chosen = choose_over_stages(choices(), len(val))
        winner = chosen.winner
        part = limit(train, TRAIN_SCORED)
        on_train = score(encoder, read, {winner.source: winner.head}, part, runtime)[winner.source][:, 0]
        return FittedStream(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=metric({"scores": on_train, "labels": labels_of(part)}),
            course=winner.head.courses[0],
            encoder=encoder,
            read=read,
            runtime=runtime,
            multi_label=multi_label,
            classes=classes,
            chosen=chosen.by_stage,
        )
