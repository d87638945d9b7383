"""PASCAL classification by fine-tuning under new fully connected layers (arXiv:1603.08511, 1511.06856)."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.classification.baselines import blind_classifiers
from downstream.classification.end_to_end import EndToEnd
from downstream.classification.labels import classification_metrics, labels_of
from downstream.classification.voc_ap import (
    DifficultLeftOut,
    difficult_of,
    step_ap,
    voc_ap_11point,
    voc_ap_area,
    with_difficult,
)
from downstream.features.extraction import batches, load_images
from downstream.features.pooling import AverageResize
from downstream.images.augment import Augmentation, ResizedCrop, check_square
from downstream.protocol import BlindPredictor, Measure, Predictions, Runtime, fractions
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.iterations import SteppedRecipe
from downstream.tuning.rates import Loss, TunedModel
from pretext.data.dataset import Split
from pretext.encoder import Encoder

PUBLISHED = SteppedRecipe(
    iterations=80_000,
    milestones=(10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000),
    drop=0.5,
    batch_size=16,
    lr=1e-3,
    weight_decay=1e-6,
    clip=10.0,
    optimiser=Optimiser.SGD,
    norm=Norm.EVAL,
)
"""Budget and rates of the released code."""

FROZEN = replace(PUBLISHED, backbone_lr=0.0)
"""The same with a frozen encoder."""


class FullyConnected(TunedModel):
    """An encoder under fully connected layers: the last map in cells, hidden layers, one score a class.

    Dropout stands in front of each hidden layer. Weights start from a normal distribution of standard
    deviation 0.01, biases from 0.1, as released.

    Args:
        encoder: a copy to train; left in eval mode.
        size: (height, width) of the images.
        hidden: widths of the layers in front of the scores; none for a linear classifier.
        dimension: numbers that the last map is averaged to at most.
    """

    def __init__(
        self,
        encoder: Encoder,
        size: tuple[int, int],
        classes: int,
        hidden: tuple[int, ...],
        dropout: float,
        dimension: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.stage = encoder.stage_names[-1]
        self.classes = classes
        self.pool = AverageResize(dimension)
        with torch.no_grad():
            device = next(chain(encoder.parameters(), encoder.buffers())).device
            blank = torch.zeros(1, 3, *size, device=device)
            width = self._features(encoder.eval(), blank).shape[1]
        layers: list[nn.Module] = []
        for before, after in pairwise((width, *hidden)):
            layers += [nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU()]
        layers.append(nn.Linear((width, *hidden)[-1], classes))
        self.head = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(layer.bias, 0.1)

    def forward(self, rgb: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to logits (B, classes)."""
        logits: Tensor = self.head(self._features(self.encoder, rgb))
        return logits

    def _features(self, encoder: Encoder, rgb: Tensor) -> Tensor:
        return self.pool(encoder(rgb).maps[self.stage], torch.arange(len(rgb)))


@dataclass(frozen=True)
class UnderFullyConnected(EndToEnd, ABC):
    """New fully connected layers on an encoder, judged by random crops; see `Zhang16Finetune`."""

    recipe: SteppedRecipe
    augment: Augmentation = field(default_factory=lambda: ResizedCrop(scale=(0.1, 0.5), ratio=(1, 1)))
    crops: int = 10
    hidden: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.5
    dimension: int = 9600

    version = 1
    paper = "arXiv:1603.08511, arXiv:1511.06856"

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        ranges = {
            "crops": self.crops >= 1,
            "hidden": all(width >= 1 for width in self.hidden),
            "dropout": 0 <= self.dropout < 1,
            "dimension": self.dimension >= 1,
            "recipe": self.trains_encoder or self.recipe.backbone_lr == 0,
        }
        for name, good in ranges.items():
            if not good:
                raise ValueError(f"{self.name}: {name}={getattr(self, name)!r} is out of range")

    def requires(self, train: Split, *held: Split) -> None:
        """Square images."""
        check_square(*train.pixels.shape[1:3])

    def build(self, encoder: Encoder, classes: int, size: tuple[int, int]) -> FullyConnected:
        """See `FullyConnected`."""
        return FullyConnected(encoder, size, classes, self.hidden, self.dropout, self.dimension)

    def scores(self, model: TunedModel, split: Split, runtime: Runtime) -> NDArray[np.float32]:
        """The mean over random crops."""
        return Crops(self.augment, self.crops).scores(model, split, runtime)

    def complete(self, rows: Predictions, split: Split) -> Predictions:
        """Classes that an image shows by difficult objects alone are left out."""
        return with_difficult(rows, split)

    def loss(self, model: TunedModel, train: Split, labels: NDArray[Any], runtime: Runtime) -> Loss:
        """Cross-entropy; of several classes an image, the logistic losses summed over classes."""
        targets, difficult = torch.from_numpy(labels).to(runtime.device), difficult_of(train)
        counted = None if difficult is None else torch.from_numpy(~difficult).to(runtime.device)

        def loss(index: Tensor, generator: torch.Generator) -> Tensor:
            images = self.augment(load_images(train, index.numpy(), runtime.device), generator)
            logits, rows = model(images).float(), index.to(runtime.device)
            if targets.ndim == 1:
                return F.cross_entropy(logits, targets[rows])
            each = F.binary_cross_entropy_with_logits(logits, targets[rows].float(), reduction="none")
            return (each if counted is None else each * counted[rows]).sum(1).mean()

        return loss

    def metrics(self, split: Split) -> dict[str, Measure]:
        """Several classes an image: mAP by steps (primary), area and 11 points; else top-1 and others."""
        if labels_of(split).ndim == 1:
            return classification_metrics(split)
        return fractions({"mAP": step_ap, "voc_ap_area": voc_ap_area, "voc_ap_11point": voc_ap_11point})

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_classifiers`."""
        return {name: DifficultLeftOut(predictor) for name, predictor in blind_classifiers().items()}


@final
@dataclass(frozen=True)
class Zhang16Finetune(UnderFullyConnected):
    """Everything fine-tuned under new fc6, fc7 and fc8, judged by ten random crops an image.

    The training of arXiv:1511.06856, on which arXiv:1603.08511 reports: 80 k iterations of 16 crops, SGD at
    1e-3, halved every 10 k, gradients clipped at 10, BatchNorm as pretraining left it. Crops take 10 to 50 %
    of the image's area, are square and half of them mirrored, which is DeepCluster's (arXiv:1807.05520) form
    of the release's rescaling; it starts from 3e-3 and halves every 5 k. An image's score is the mean over
    its crops. Logistic loss summed over classes; classes that an image shows by difficult objects alone are
    left out of loss and metrics. Data with one class an image: softmax.

    fc6 sees the last stage in about 9,600 numbers (AlexNet's pool5 has 9,216); an encoder that ends with an
    fc7 of its own takes `hidden: []`. The release moves biases twice as fast and has no learning rate per
    part. Magnitudes are not calibrated here: a calibrated encoder says so itself.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        augment: crops for training and test.
        crops: an image, when scored.
        hidden: widths of fc6, fc7.
        dropout: in front of them, in [0, 1).
        dimension: numbers that the last stage is averaged to at most.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a value out of range.
    """

    recipe: SteppedRecipe = PUBLISHED

    name = "zhang16_finetune"
    trains_encoder = True


@final
@dataclass(frozen=True)
class Zhang16FinetuneFc(UnderFullyConnected):
    """New fc6, fc7 and fc8 trained on a frozen encoder.

    All else is as in `zhang16_finetune`.
    """

    recipe: SteppedRecipe = FROZEN

    name = "zhang16_finetune_fc6_8"
    trains_encoder = False


@final
@dataclass(frozen=True)
class Zhang16FinetuneFc8(UnderFullyConnected):
    """A linear classifier, fc8 alone, trained on a frozen encoder.

    All else is as in `zhang16_finetune`.
    """

    recipe: SteppedRecipe = FROZEN
    hidden: tuple[int, ...] = ()

    name = "zhang16_finetune_fc8"
    trains_encoder = False


@dataclass(frozen=True)
class Crops:
    """Scoring by the mean logits of `count` random crops; a seed and a device take the same ones."""

    augment: Augmentation
    count: int

    def scores(self, model: nn.Module, split: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Mean logits (N, classes)."""
        generator = torch.Generator().manual_seed(runtime.seed)
        device, autocast = runtime.device, runtime.autocast
        model.eval()
        parts = []
        for rows, images in batches(split, device):
            logits = []
            for _ in range(self.count):
                with torch.no_grad(), torch.autocast(device.type, autocast, enabled=autocast is not None):
                    logits.append(model(self.augment(images, generator)))
            parts.append(torch.stack(logits).float().mean(0).cpu().numpy())
            runtime.progress(f"crops of {split.name}", rows.stop, len(split))
        return np.concatenate(parts)
