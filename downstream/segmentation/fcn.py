"""Fine-tuned segmentation: encoder and a fully convolutional head trained end to end (arXiv:1411.4038)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.fcn import FCNHead

from downstream.features import load_images
from downstream.finetuning import Recipe, finetune, mirror, outputs, private_copy, random_flips, seeded
from downstream.limit import limit
from downstream.protocol import BlindPredictor, Fitted, Metric, Protocol, Rows, Runtime, Trial
from downstream.segmentation.baselines import blind_segmenters
from downstream.segmentation.masks import (
    check_against,
    confusion_of,
    fitted_classes,
    masks_of,
    mean_iou,
    segmentation_metrics,
)
from downstream.segmentation.pictures import side_by_side
from downstream.selection import at_edge, best, several
from pretext.data.dataset import IGNORE, Split
from pretext.encoder import Encoder

TRAIN_SCORED = 500
"""Training images that the train score is taken on."""


class FCN(nn.Module):
    """torchvision's FCN head on one stage (3×3 convolution to a quarter of the channels, BatchNorm, ReLU,
    dropout, 1×1 convolution), its logits upsampled bilinearly to the image.
    """

    def __init__(self, encoder: Encoder, stage: str, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.stage = stage
        self.classes = classes
        self.head = FCNHead(encoder.backbone.stage(stage).channels, classes)

    def forward(self, rgb: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to logits (B, K, H, W)."""
        logits: Tensor = self.head(self.encoder(rgb, stop=self.stage).maps[self.stage])
        size = (rgb.shape[2], rgb.shape[3])
        return F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class FCNFinetune(Protocol):
    """Train a copy of the encoder and an FCN head on one stage, end to end.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        stage: the stage under the head; the last without it.
        flip: mirror training images and masks at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: Recipe = field(default_factory=Recipe)
    lrs: tuple[float, ...] = ()
    stage: str | None = None
    flip: bool = True
    train_limit: int | None = None
    name = "fcn_finetune"
    version = 1
    task = "segmentation"
    trains_encoder = True

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))

    @property
    def selects(self) -> tuple[str, ...]:
        """The learning rate where there are several."""
        return several(lr=self.lrs)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedFCN:
        """Train one model a learning rate on train, keep the one that is best on val.

        Raises:
            ValueError: masks that are missing, of another size than the images, or with unknown classes; an
                unknown stage.
        """
        train = limit(train, self.train_limit)
        classes = fitted_classes(train)
        check_against(val, classes)
        stage = encoder.stage_names[-1] if self.stage is None else encoder.backbone.stage(self.stage).name
        trials: list[Trial] = []
        models: list[FCN] = []
        for lr in self.lrs or (self.recipe.lr,):
            recipe = replace(self.recipe, lr=lr)
            with seeded(runtime.seed, runtime.device):
                model = FCN(private_copy(encoder, runtime.device), stage, classes).to(runtime.device)
            loss = _loss(model, train, self.flip, runtime.device)
            finetune(model, loss, len(train), recipe, runtime, model.encoder, f"fine-tune, lr {lr:g}")
            trials.append(Trial(stage, {"lr": lr}, mean_iou(_rows(model, val, runtime))))
            models.append(model)
        winner = best(trials)
        model = models[trials.index(winner)]
        return FittedFCN(
            stage=stage,
            trials=tuple(trials),
            at_edge=at_edge(trials, winner),
            train_score=mean_iou(_rows(model, limit(train, TRAIN_SCORED), runtime)),
            setting=winner.setting,
            model=model,
            runtime=runtime,
        )

    def metrics(self, split: Split) -> dict[str, Metric]:
        """See `segmentation_metrics`."""
        return segmentation_metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_segmenters`."""
        return blind_segmenters()


@dataclass(frozen=True)
class FittedFCN(Fitted):
    """The fine-tuned model with the learning rate that val chose."""

    stage: str
    trials: tuple[Trial, ...]
    at_edge: tuple[str, ...]
    train_score: float
    setting: dict[str, float | int | str]
    model: FCN
    runtime: Runtime

    @property
    def selected(self) -> dict[str, float | int | str]:
        """The head's learning rate."""
        return dict(self.setting)

    def predict(self, test: Split) -> dict[str, Rows]:
        """Rows {"confusion": (N, K, K) uint32} of the one stage."""
        return {self.stage: _rows(self.model, test, self.runtime)}

    def show(self, images: Split) -> NDArray[np.uint8]:
        """Image, true mask and prediction, a row each."""
        parts = [logits.argmax(1).cpu().numpy() for _, logits in outputs(self.model, images, self.runtime)]
        return side_by_side(images, np.concatenate(parts).astype(np.uint8))


def _loss(
    model: FCN, train: Split, flip: bool, device: torch.device
) -> Callable[[Tensor, torch.Generator], Tensor]:
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


def _rows(model: FCN, split: Split, runtime: Runtime) -> Rows:
    masks = check_against(split, model.classes)
    parts = [
        confusion_of(logits.argmax(1), masks[where], model.classes)
        for where, logits in outputs(model, split, runtime)
    ]
    return {"confusion": np.concatenate(parts)}
