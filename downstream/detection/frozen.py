"""Detection on a frozen encoder: FCOS fitted on the cached maps of each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from downstream.course import Course
from downstream.detection.boxes import (
    Target,
    Targets,
    boxes_of,
    collect,
    fitted_classes,
)
from downstream.detection.family import Detection
from downstream.detection.fcos import FcosHead
from downstream.detection.head import Detecting
from downstream.detection.maps import SingleMap, at_stride
from downstream.detection.matching import Detections
from downstream.detection.scoring import FittedDetectors, detection_metrics, train_score, val_score
from downstream.features.extraction import Key, extract
from downstream.head import Form
from downstream.protocol import Measure, Runtime, require_positive
from downstream.selection import attempt, choose_over_stages, several
from downstream.tuning.finetuning import Optimiser, Recipe, finetune, seeded
from downstream.tuning.rates import Trained, tensors_of
from pretext.backbones import Stage
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

Maps = Callable[[Any], dict[str, Tensor]]
"""Positions or a slice of a split → the stage's maps on the device, by stage."""

_BATCH = 250  # images detected on at once


@dataclass(frozen=True)
class DetectionFrozen(Detection):
    """FCOS on the maps of the last stages of a frozen encoder, by default of the last alone.

    Maps are extracted once, for all epochs. Each of these stages is brought to the same stride by averaging,
    fitted with every learning rate, and scored on val by COCO AP, which chooses the learning rate of each
    stage and, where there are several, the stage.

    Args:
        recipe: budget and optimiser of neck and head; what it says about the encoder has no effect.
        lrs: learning rates to choose among; `recipe.lr` if empty.
        last_stages: how many stages, counted from the end, are fitted, each a training of its own; None: all.
        stride: image pixels a cell; finer maps are averaged down to it, coarser ones stay.
        width: channels of the neck and the head, a multiple of 32.
        convs: 3×3 convolutions in each of the head's two towers.
        train_limit: fit on that many training images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a number below 1.
    """

    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=3,
            least_steps=300,
            batch_size=16,
            lr=5e-3,
            weight_decay=1e-2,
            clip=1.0,
            optimiser=Optimiser.ADAMW,
        )
    )
    lrs: tuple[float, ...] = ()
    last_stages: int | None = 1
    stride: int = 8
    width: int = 64
    convs: int = 1
    train_limit: int | None = field(default=2000, kw_only=True)
    name = "detection_frozen"
    version = 1
    trains_encoder = False

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        if self.last_stages is not None and self.last_stages < 1:
            raise ValueError(f"DetectionFrozen: last_stages must be at least 1, got {self.last_stages}")
        if self.stride < 1:
            raise ValueError(f"DetectionFrozen: stride must be at least 1, got {self.stride}")
        require_positive(self, "width", "train_limit")
        if self.convs < 0:
            raise ValueError(f"{type(self).__name__}: convs must be at least 0, got {self.convs}")

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage where several are fitted, and its learning rate where there are several."""
        return (*(() if self.last_stages == 1 else ("stage",)), *several(lr=self.lrs))

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedDetectors:
        """Fit every learning rate on each of the last stages, select on val.

        Raises:
            ValueError: boxes that are missing or bad (names split and image), or no box in train.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes = fitted_classes(train)
        chosen = choose_over_stages(self._tried(encoder, train, val, classes, runtime), len(val))
        winner = chosen.winner
        return FittedDetectors(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=train_score(partial(winner.model.detect, runtime=runtime), train, classes),
            course=winner.course,
            setting=winner.trial.setting,
            detectors={stage: one.model for stage, one in chosen.by_stage.items()},
            runtime=runtime,
        )

    def _tried(
        self, encoder: Encoder, train: Split, val: Split, classes: int, runtime: Runtime
    ) -> Iterator[Trained[StageDetector]]:
        """Every stage with every learning rate."""
        for stage in encoder.stages[-(self.last_stages or len(encoder.stages)) :]:
            for lr in self.lrs or (self.recipe.lr,):
                head = self._detector(encoder, stage, classes, runtime)
                fit = partial(self._fit, head, train, replace(self.recipe, lr=lr), runtime)
                score = partial(val_score, partial(head.detect, runtime=runtime), val, classes)
                trial, course = attempt(stage.name, {"lr": lr}, fit, score)
                yield Trained(trial, head, course)

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> StageDetector:
        """FCOS on the stage.

        Raises:
            ValueError: a stage that the encoder has not.
        """
        head = self._detector(encoder, encoder.backbone.stage(form.stage), form.classes, runtime)
        head.fcos.eval()
        return head

    def metrics(self, split: Split) -> dict[str, Measure]:
        """See `detection_metrics`."""
        return detection_metrics(split)

    def _detector(self, encoder: Encoder, stage: Stage, classes: int, runtime: Runtime) -> StageDetector:
        with seeded(runtime.seed, runtime.device):
            strides = (max(stage.stride, self.stride),)
            head = FcosHead(SingleMap(stage, self.width), strides, classes, self.convs).to(runtime.device)
        return StageDetector(
            classes=classes, encoder=encoder, stage=stage.name, stride=self.stride, fcos=head
        )

    def _fit(self, head: StageDetector, train: Split, recipe: Recipe, runtime: Runtime) -> Course:
        maps = head.maps(train, runtime)
        targets = Targets(boxes_of(train), runtime.device)

        def loss(index: Tensor, generator: torch.Generator) -> Tensor:
            return head.fcos.loss(maps(index.numpy()), targets.of(index.tolist()))

        what = f"detector on {head.stage}, lr {recipe.lr:g}"
        return finetune(head.fcos, loss, len(train), recipe, runtime, what=what)


@dataclass(frozen=True, kw_only=True)
class StageDetector(Detecting):
    """FCOS on the map of one stage, averaged to a stride."""

    encoder: Encoder
    stage: str
    stride: int
    fcos: FcosHead

    def tensors(self) -> dict[str, Tensor]:
        """Neck and head."""
        return tensors_of(self.fcos)

    def maps(self, images: Split, runtime: Runtime) -> Maps:
        """The stage's maps of images, from the cache or by one pass."""
        height, width = images.pixels.shape[1:3]
        key = Key(self.stage, at_stride(height, width, self.stride))
        features = extract(self.encoder, images, (key.reduction,), runtime, (self.stage,))[key]

        def maps(index: Any) -> dict[str, Tensor]:
            return {self.stage: torch.from_numpy(np.array(features[index])).to(runtime.device)}

        return maps

    @torch.no_grad()
    def detect(self, images: Split, runtime: Runtime) -> Detections:
        """Objects of every image."""
        height, width = images.pixels.shape[1:3]
        maps = self.maps(images, runtime)
        found: list[Target] = []
        for i in range(0, len(images), _BATCH):
            found += self.fcos.detect(maps(slice(i, i + _BATCH)), (height, width))
        return collect(found)
