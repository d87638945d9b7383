"""Training whole segmenters, encoder included, and choosing among learning rates on val."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.features.extraction import load_images
from downstream.head import Form
from downstream.protocol import Predictions, Runtime
from downstream.segmentation.family import Segmentation
from downstream.segmentation.head import Segmenting
from downstream.segmentation.masks import fitted_classes, masks_of, mean_iou
from downstream.segmentation.pictures import side_by_side
from downstream.selection import OneSetting
from downstream.tuning.finetuning import mirror, outputs, private_copy, random_flips
from downstream.tuning.rates import Loss, TunedModel, TunedProtocol, tensors_of
from pretext.data.dataset import IGNORE, Split
from pretext.data.split import limit
from pretext.encoder import Encoder

TRAIN_SCORED = 500
"""Training images that the train score is taken on."""

Head = Callable[[int, int], nn.Module]
"""(channels of the stage, number of classes) → a module from its map (B, C, h, w) to logits (B, K, h, w)."""


class Segmenter(TunedModel):
    """An encoder up to one stage and a head on it, whose logits are upsampled bilinearly to the image."""

    def __init__(self, encoder: Encoder, stage: str, classes: int, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.stage = stage
        self.classes = classes
        self.head = head(encoder.backbone.stage(stage).channels, classes)

    def forward(self, rgb: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to logits (B, K, H, W)."""
        logits: Tensor = self.head(self.encoder(rgb, stop=self.stage).maps[self.stage])
        size = (rgb.shape[2], rgb.shape[3])
        return F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class EndToEnd(Segmentation, TunedProtocol):
    """A head on one stage of a copy of the encoder, everything trained.

    Args:
        stage: the stage under the head; the last without it.
    """

    stage: str | None = field(default=None, kw_only=True)

    @abstractmethod
    def head(self, channels: int, classes: int) -> nn.Module:
        """A module from the stage's map (B, channels, h, w) to logits (B, classes, h, w)."""

    @property
    @abstractmethod
    def flips(self) -> bool:
        """Whether training images and masks are mirrored at random."""

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedSegmenter:
        """Train one model a learning rate on train, keep the one that is best on val by mIoU.

        Raises:
            ValueError: masks that are missing, of another size than the images, or with unknown classes; an
                unknown stage.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes = fitted_classes(train)
        chosen = self.over_rates(
            encoder,
            lambda own: self._segmenter(own, classes),
            lambda model: _loss(model, train, self.flips, runtime.device),
            lambda model: _score(model, val, runtime),
            (train, val),
            runtime,
        )
        winner = chosen.winner
        return FittedSegmenter(
            stage=winner.model.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=_score(winner.model, limit(train, TRAIN_SCORED), runtime),
            course=winner.course,
            setting=winner.trial.setting,
            model=winner.model,
            runtime=runtime,
        )

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> TunedSegmenter:
        """A segmenter around a copy of the encoder."""
        model = self._segmenter(private_copy(encoder, runtime.device), form.classes)
        return TunedSegmenter(classes=form.classes, model=model.to(runtime.device).eval())

    def _segmenter(self, encoder: Encoder, classes: int) -> Segmenter:
        name = encoder.stage_names[-1] if self.stage is None else encoder.backbone.stage(self.stage).name
        return Segmenter(encoder, name, classes, self.head)


@dataclass(frozen=True, kw_only=True)
class TunedSegmenter(Segmenting):
    """A trained segmenter."""

    model: Segmenter

    def tensors(self) -> dict[str, Tensor]:
        """The whole model's, its encoder among it."""
        return tensors_of(self.model)

    def masks(self, images: Split, runtime: Runtime) -> Iterator[tuple[slice, Tensor]]:
        """Classes (B, H, W) of images, batch by batch."""
        for where, logits in outputs(self.model, images, runtime):
            yield where, logits.argmax(1)


@dataclass(frozen=True, kw_only=True)
class FittedSegmenter(OneSetting):
    """The fine-tuned model with the learning rate that val chose."""

    model: Segmenter
    runtime: Runtime

    @property
    def head(self) -> TunedSegmenter:
        """The model."""
        return TunedSegmenter(classes=self.model.classes, model=self.model)

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"confusion": (N, K, K) uint32} of the one stage."""
        return {self.stage: self.head.rows(test, self.runtime)}

    def show(self, images: Split, names: Sequence[str] = ()) -> NDArray[np.uint8]:
        """Image, true mask and prediction of each image."""
        return side_by_side(images, self.head.predict(images, self.runtime).masks, names)


def _loss(model: Segmenter, train: Split, flip: bool, device: torch.device) -> Loss:
    masks = masks_of(train)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        images = load_images(train, index.numpy(), device)
        target = torch.from_numpy(np.array(masks[index.numpy()])).to(device).long()  # (B, H, W)
        if flip:
            flips = random_flips(len(index), generator)
            images, target = mirror(images, flips), mirror(target, flips)
        total = F.cross_entropy(model(images), target, ignore_index=IGNORE, reduction="sum")
        return total / (target != IGNORE).sum().clamp(min=1)

    return loss


def _score(model: Segmenter, split: Split, runtime: Runtime) -> float:
    return mean_iou(TunedSegmenter(classes=model.classes, model=model).rows(split, runtime))
