"""Fine-tuned classification: encoder and a linear classifier trained end to end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.classification.family import Classification
from downstream.classification.labels import (
    check_against,
    fitted_classes,
    labels_of,
    primary,
)
from downstream.course import Course
from downstream.features.extraction import load_images
from downstream.protocol import (
    Metric,
    Rows,
    Runtime,
    Trial,
    require_positive,
)
from downstream.selection import OneSetting, at_edge, attempt, best, judged, leads, several
from downstream.tuning.finetuning import (
    Recipe,
    finetune,
    mirror,
    outputs,
    private_copy,
    random_flips,
    seeded,
)
from downstream.tuning.short import SHORT
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

TRAIN_SCORED = 1000
"""Training examples that the train score is taken on."""


class Classifier(nn.Module):
    """Global average pooling of one stage, BatchNorm without affine parameters, a linear layer.

    The normalisation makes the learning rate mean the same for features of any magnitude, as in the linear
    protocols of arXiv:1603.08511 and arXiv:1905.01235.
    """

    def __init__(self, encoder: Encoder, stage: str, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.stage = stage
        self.classes = classes
        channels = encoder.backbone.stage(stage).channels
        self.head = nn.Sequential(nn.BatchNorm1d(channels, affine=False), nn.Linear(channels, classes))

    def forward(self, rgb: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to logits (B, C)."""
        pooled = self.encoder(rgb, stop=self.stage).maps[self.stage].mean((2, 3))
        logits: Tensor = self.head(pooled)
        return logits


@dataclass(frozen=True)
class ClassificationFinetune(Classification):
    """Train a copy of the encoder and a linear classifier on one stage, end to end.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        stage: the stage that is classified from; the last without it.
        flip: mirror training images at random.
        train_limit: train on that many examples, drawn by the split's digest; on all without it.
    """

    recipe: Recipe = SHORT
    lrs: tuple[float, ...] = ()
    stage: str | None = None
    flip: bool = True
    name = "finetune"
    version = 1
    trains_encoder = True

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        require_positive(self, "train_limit")

    @property
    def selects(self) -> tuple[str, ...]:
        """The learning rate where there are several."""
        return several(lr=self.lrs)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedClassifier:
        """Train one model a learning rate on train, keep the one that is best on val.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; an unknown stage.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes, labels = fitted_classes(train), labels_of(train)
        multi_label = labels.ndim == 2
        stage = encoder.stage_names[-1] if self.stage is None else encoder.backbone.stage(self.stage).name
        metric = primary(multi_label)
        trials: list[Trial] = []
        kept: tuple[Classifier, Course] | None = None
        for lr in self.lrs or (self.recipe.lr,):
            recipe = replace(self.recipe, lr=lr)
            with seeded(runtime.seed, runtime.device):
                model = Classifier(private_copy(encoder, runtime.device), stage, classes).to(runtime.device)
            loss = _loss(model, train, labels, self.flip, runtime.device)
            what = f"fine-tune, lr {lr:g}"
            tune = partial(finetune, model, loss, len(train), recipe, runtime, model.encoder, what)
            score = partial(_score, metric, model, val, multi_label, runtime)
            trial, course = attempt(stage, {"lr": lr}, tune, score)
            trials.append(trial)
            if course is not None and leads(trials):
                kept = model, course
        winner = best(trials)
        assert kept is not None
        model, course = kept
        part = limit(train, TRAIN_SCORED)
        return FittedClassifier(
            stage=stage,
            trials=tuple(trials),
            at_edge=at_edge(trials, winner, len(val)),
            train_score=metric(scored_rows(model, part, multi_label, runtime)),
            course=course,
            setting=winner.setting,
            model=model,
            multi_label=multi_label,
            runtime=runtime,
        )


@dataclass(frozen=True, kw_only=True)
class FittedClassifier(OneSetting):
    """The fine-tuned model with the learning rate that val chose; scores are logits."""

    model: Classifier
    multi_label: bool
    runtime: Runtime

    def predict(self, test: Split) -> dict[str, Rows]:
        """Rows {"scores": (N, C) logits, "labels"} of the one stage."""
        return {self.stage: scored_rows(self.model, test, self.multi_label, self.runtime)}


def _score(metric: Metric, model: Classifier, split: Split, multi_label: bool, runtime: Runtime) -> float:
    return judged(metric, scored_rows(model, split, multi_label, runtime))


def _loss(
    model: nn.Module,
    train: Split,
    labels: NDArray[np.int64] | NDArray[np.uint8],
    flip: bool,
    device: torch.device,
) -> Callable[[Tensor, torch.Generator], Tensor]:
    targets = torch.from_numpy(labels).to(device)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        images = load_images(train, index.numpy(), device)
        if flip:
            images = mirror(images, random_flips(len(index), generator))
        logits = model(images).float()
        wanted = targets[index.to(device)]
        if wanted.ndim == 1:
            return F.cross_entropy(logits, wanted)
        return F.binary_cross_entropy_with_logits(logits, wanted.float())

    return loss


def scored_rows(model: Classifier, split: Split, multi_label: bool, runtime: Runtime) -> Rows:
    """Rows {"scores": (N, C) logits, "labels"} of a split that is labelled as train was."""
    labels = check_against(split, multi_label, model.classes)
    return {
        "scores": np.concatenate([x.cpu().numpy() for _, x in outputs(model, split, runtime)]),
        "labels": labels,
    }
