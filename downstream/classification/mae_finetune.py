"""End-to-end fine-tuning as MAE is judged (arXiv:2111.06377)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from downstream.classification.end_to_end import Classifier, EndToEnd, logits
from downstream.classification.family import Classification
from downstream.classification.labels import fitted_classes
from downstream.classification.voc_ap import one_hot
from downstream.features.extraction import load_images
from downstream.images.augment import Augmentation, ResizedCrop, check_square
from downstream.images.erasing import RandomErasing
from downstream.protocol import Runtime
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.layer_decay import LayerDecayRecipe
from downstream.tuning.rates import Loss, TunedModel
from pretext.backbones.vit import VisionTransformer
from pretext.data.dataset import Split
from pretext.encoder import Encoder

PUBLISHED = LayerDecayRecipe(
    epochs=100,
    batch_size=1024,
    lr=5e-4,
    layer_decay=0.65,
    weight_decay=0.05,
    warmup=0.05,
    clip=None,
    optimiser=Optimiser.ADAMW,
    norm=Norm.TRAIN,
)
"""Budget and rates published for ViT-B."""


def averaged(encoder: Encoder, classes: int) -> Classifier:
    """The last stage averaged over the image, LayerNorm, a linear layer that starts close to zero."""
    return Classifier(encoder, encoder.stage_names[-1], classes, _close_to_zero)


def _close_to_zero(channels: int, classes: int) -> nn.Module:
    linear = nn.Linear(channels, classes)
    linear.reset_parameters()  # version 1 drew them twice: the weights below hang on it
    trunc_normal_(linear.weight, std=2e-5)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.LayerNorm(channels), linear)


@dataclass(frozen=True)
class MaeFinetune(EndToEnd, Classification):
    """Everything fine-tuned by AdamW with rates that fall layer by layer, under strong regularisation.

    As published for ViT-B: 100 epochs of batches of 1,024 with five of warm-up, 5e-4 for a batch of 256,
    layer decay 0.65, weight decay 0.05, stochastic depth 0.1, mixup 0.8 or cutmix 1.0 in every batch, a part
    of every fourth image erased, labels smoothed by 0.1. The classifier sees the average of the last stage's
    map behind a LayerNorm; of a transformer the patches' tokens, without the class token. Other networks have
    stages for layers, BatchNorm that follows the batches, and no stochastic depth. Plain images are scored
    after the last epoch: the release names the best epoch on the images that it reports. Nothing is chosen
    here, on any split.

    Not as published: no RandAugment; erased parts hold noise of [0, 1] colours; the average is taken behind
    the transformer's own final norm, not in front of it; the rate falls to zero, not to 1e-6. Several classes
    an image: logistic loss summed over classes, the truth of each smoothed towards one half.

    Args:
        recipe: budget and learning rates.
        augment, erase: how training images are varied.
        mixup, cutmix: parameter of the Beta distribution of each; 0 leaves it out. One of them, evenly, is
            drawn for each batch.
        smoothing: of the labels, in [0, 1).
        drop_path: of stochastic depth (arXiv:1603.09382) in the last block, in [0, 1); 0 in the first.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a value out of range.
    """

    recipe: LayerDecayRecipe = PUBLISHED
    augment: Augmentation = field(default_factory=ResizedCrop)
    erase: RandomErasing = field(default_factory=RandomErasing)
    mixup: float = 0.8
    cutmix: float = 1.0
    smoothing: float = 0.1
    drop_path: float = 0.1

    name = "mae_finetune"
    version = 1
    paper = "arXiv:2111.06377"
    trains_encoder = True

    def __post_init__(self) -> None:
        ranges = {
            "mixup": self.mixup >= 0,
            "cutmix": self.cutmix >= 0,
            "smoothing": 0 <= self.smoothing < 1,
            "drop_path": 0 <= self.drop_path < 1,
        }
        for name, good in ranges.items():
            if not good:
                raise ValueError(f"{self.name}: {name}={getattr(self, name)!r} is out of range")

    def requires(self, train: Split, *held: Split) -> None:
        """Square images."""
        check_square(*train.pixels.shape[1:3])

    def build(self, encoder: Encoder, classes: int, size: tuple[int, int]) -> Classifier:
        """See `averaged`."""
        if isinstance(encoder.backbone, VisionTransformer):
            encoder.backbone.set_drop_path(self.drop_path)
        return averaged(encoder, classes)

    def scores(self, model: TunedModel, split: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Of plain images."""
        return logits(model, split, runtime)

    def loss(self, model: TunedModel, train: Split, labels: NDArray[Any], runtime: Runtime) -> Loss:
        """Of erased and mixed images."""
        targets = torch.from_numpy(one_hot(labels, fitted_classes(train))).float().to(runtime.device)
        mix = mixing(self.mixup, self.cutmix)

        def loss(index: Tensor, generator: torch.Generator) -> Tensor:
            images = load_images(train, index.numpy(), targets.device)
            images = self.erase(self.augment(images, generator), generator)
            images, wanted = mix(images, targets[index.to(targets.device)])
            return soft_loss(model(images).float(), wanted, self.smoothing, labels.ndim == 2)

        return loss


def mixing(mixup: float, cutmix: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Mix images (B, 3, H, W) and targets (B, C), by mixup or cutmix, one draw a batch.

    Draws from torch's global generator, which fine-tuning seeds.
    """
    kinds = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
    ways: list[nn.Module] = [kind(alpha=alpha) for kind, alpha in kinds if alpha > 0]

    def mix(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if not ways:
            return images, targets
        way = ways[int(torch.randint(len(ways), ()))]
        mixed: tuple[Tensor, Tensor] = way(images, targets)
        return mixed

    return mix


def soft_loss(logits: Tensor, targets: Tensor, smoothing: float, several: bool) -> Tensor:
    """Mean loss of logits (B, C) against shares of classes (B, C), smoothed."""
    if not several:
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)
    smooth = targets * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, smooth, reduction="sum") / len(logits)
