"""Fine-tuned segmentation: encoder and a fully convolutional head trained end to end (arXiv:1411.4038)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torchvision.models.segmentation.fcn import FCNHead

from downstream.protocol import BlindPredictor, Metric, Protocol, Runtime, require_positive
from downstream.segmentation.baselines import blind_segmenters
from downstream.segmentation.end_to_end import FittedSegmenter, fit_segmenters
from downstream.segmentation.masks import check_masks, segmentation_metrics
from downstream.selection import several
from downstream.tuning.finetuning import Norm, Optimiser, Recipe, Tuning
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder


@dataclass(frozen=True)
class FCNFinetune(Protocol):
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

    recipe: Tuning = field(
        default_factory=lambda: Recipe(
            epochs=5,
            least_steps=200,
            batch_size=16,
            lr=3e-3,
            backbone_lr=0.5,
            weight_decay=1e-2,
            optimiser=Optimiser.ADAMW,
            norm=Norm.EVAL,
        )
    )
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
        require_positive(self, "train_limit")

    @property
    def selects(self) -> tuple[str, ...]:
        """The learning rate where there are several."""
        return several(lr=self.lrs)

    def check(self, train: Split, *held: Split) -> None:
        """See `check_masks`."""
        check_masks(limit(train, self.train_limit), *held)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedSegmenter:
        """Train one model a learning rate on train, keep the one that is best on val.

        Raises:
            ValueError: masks that are missing, of another size than the images, or with unknown classes; an
                unknown stage.
        """
        train = limit(train, self.train_limit)
        return fit_segmenters(
            FCNHead, encoder, self.stage, train, val, self.recipe, self.lrs, self.flip, runtime
        )

    def metrics(self, split: Split) -> dict[str, Metric]:
        """See `segmentation_metrics`."""
        return segmentation_metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_segmenters`."""
        return blind_segmenters()
