"""FCN-32s fine-tuned as representation learning publishes it (arXiv:1603.08511, section 3.2)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from torch import nn

from downstream.segmentation.end_to_end import EndToEnd
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.iterations import SteppedRecipe


@dataclass(frozen=True)
class Zhang16Fcn32s(EndToEnd):
    """FCN-32s (arXiv:1411.4038): one 1×1 score layer on the last stage, upsampled to the image in one go.

    The encoder is fine-tuned with it. As published for VOC 2011 with the annotations of SBD, 736 images of
    val as test: 150 k iterations at 1e-4, divided by ten every 50 k, momentum 0.9, weight decay 5e-4. The
    score layer starts from zero behind dropout, images are not augmented. The batch of 20 is that of
    arXiv:1411.4038. An encoder that has fc6 and fc7 as convolutions is judged through them; where it ends
    with its convolutions, the scores lie on these. Not as published: the upsampling is bilinear
    interpolation, which is what the fixed deconvolution approximates; biases learn at the rate of weights.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        dropout: in front of the score layer, in [0, 1).
        stage: the stage under the score layer; the last without it.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a dropout out of range.
    """

    recipe: SteppedRecipe = field(
        default_factory=lambda: SteppedRecipe(
            iterations=150_000,
            milestones=(50_000, 100_000),
            batch_size=20,
            lr=1e-4,
            weight_decay=5e-4,
            clip=None,
            optimiser=Optimiser.SGD,
            norm=Norm.EVAL,
        )
    )
    dropout: float = 0.5
    name = "zhang16_fcn32s"
    version = 1
    paper = "arXiv:1603.08511"

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{self.name}: dropout={self.dropout!r} is out of range")

    @property
    def flips(self) -> bool:
        """Images are not augmented."""
        return False

    def head(self, channels: int, classes: int) -> nn.Module:
        """See `score_layer`."""
        return score_layer(channels, classes, self.dropout)


def score_layer(channels: int, classes: int, dropout: float) -> nn.Sequential:
    """Dropout and a 1×1 convolution (B, C, h, w) → (B, K, h, w) that starts from zero."""
    score = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(score.weight)
    assert score.bias is not None
    nn.init.zeros_(score.bias)
    return nn.Sequential(OrderedDict(dropout=nn.Dropout(dropout), score=score))
