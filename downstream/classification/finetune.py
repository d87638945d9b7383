"""Fine-tuned classification: encoder and a linear classifier trained end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.classification.end_to_end import Classifier, EndToEnd, logits
from downstream.classification.family import Classification
from downstream.features.extraction import load_images
from downstream.protocol import Runtime, require_positive
from downstream.tuning.finetuning import Recipe, mirror, random_flips
from downstream.tuning.rates import Loss, TunedModel, WithRates
from downstream.tuning.short import SHORT
from pretext.data.dataset import Split
from pretext.encoder import Encoder


@dataclass(frozen=True)
class ClassificationFinetune(WithRates, EndToEnd, Classification):
    """Train a copy of the encoder and a linear classifier on one stage, end to end.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        stage: the stage that is classified from; the last without it.
        flip: mirror training images at random.
        train_limit: train on that many examples, drawn by the split's digest; on all without it.
    """

    recipe: Recipe = SHORT
    stage: str | None = None
    flip: bool = True
    name = "finetune"
    version = 1
    trains_encoder = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "train_limit")

    def build(self, encoder: Encoder, classes: int, size: tuple[int, int]) -> Classifier:
        """A linear layer on the normalised average of the stage."""
        stage = encoder.stage_names[-1] if self.stage is None else encoder.backbone.stage(self.stage).name
        return Classifier(encoder, stage, classes, normalised)

    def scores(self, model: TunedModel, split: Split, runtime: Runtime) -> NDArray[np.float32]:
        """Of plain images."""
        return logits(model, split, runtime)

    def loss(self, model: TunedModel, train: Split, labels: NDArray[Any], runtime: Runtime) -> Loss:
        """Cross-entropy; of several classes an image, the logistic loss of each."""
        targets = torch.from_numpy(labels).to(runtime.device)

        def loss(index: Tensor, generator: torch.Generator) -> Tensor:
            images = load_images(train, index.numpy(), runtime.device)
            if self.flip:
                images = mirror(images, random_flips(len(index), generator))
            logits = model(images).float()
            wanted = targets[index.to(runtime.device)]
            if wanted.ndim == 1:
                return F.cross_entropy(logits, wanted)
            return F.binary_cross_entropy_with_logits(logits, wanted.float())

        return loss


def normalised(channels: int, classes: int) -> nn.Module:
    """BatchNorm without affine parameters, a linear layer.

    The normalisation makes the learning rate mean the same for features of any magnitude, as in the linear
    protocols of arXiv:1603.08511 and arXiv:1905.01235.
    """
    return nn.Sequential(nn.BatchNorm1d(channels, affine=False), nn.Linear(channels, classes))
