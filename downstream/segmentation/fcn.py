"""Fine-tuned segmentation: encoder and a fully convolutional head trained end to end (arXiv:1411.4038)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.segmentation.fcn import FCNHead

from downstream.protocol import require_positive
from downstream.segmentation.end_to_end import EndToEnd
from downstream.tuning.finetuning import Tuning
from downstream.tuning.rates import WithRates
from downstream.tuning.short import SHORT


@dataclass(frozen=True)
class FCNFinetune(WithRates, EndToEnd):
    """Train a copy of the encoder and an FCN head on one stage, end to end.

    The head is torchvision's: 3×3 convolution to a quarter of the channels, BatchNorm, ReLU, dropout, 1×1
    convolution; its logits are upsampled bilinearly to the image.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        stage: the stage under the head; the last without it.
        flip: mirror training images and masks at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: Tuning = SHORT
    flip: bool = True
    name = "fcn_finetune"
    version = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "train_limit")

    @property
    def flips(self) -> bool:
        """As given."""
        return self.flip

    def head(self, channels: int, classes: int) -> nn.Module:
        """Torchvision's."""
        built: nn.Module = FCNHead(channels, classes)
        return built
