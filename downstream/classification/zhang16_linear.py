"""The linear probes of Zhang et al. (arXiv:1603.08511) on every stage of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.streamed import StreamedProbe
from downstream.features.pooling import AverageResize, BilinearResize
from downstream.heads.inputs import EveryStage
from downstream.heads.sgd_heads import Read
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ShiftedCrop

PUBLISHED = SgdRecipe(
    lrs=(0.01,),
    iterations=140_000,
    milestones=(40_000, 80_000, 120_000),
    batch_size=256,
    weight_decay=5e-4,
    decay_bias=False,
    bias_lr=2.0,
    normalise=True,
    init_std=0.0,
)
"""Budget, rates and normalisation of the release."""


@dataclass(frozen=True)
class Zhang16Linear(StreamedProbe):
    """A softmax layer on every stage's map, resized bilinearly to about 9,600 numbers, as in the release.

    Each map is normalised by channel (BatchNorm without affine part) behind the resizing; all heads are
    trained at once on the same shifted and mirrored images and scored on the plain ones. Heads start at zero
    and biases learn twice as fast, undecayed, as released. Nothing is chosen but the stage that stands for
    the encoder, on val; every stage is recorded, as the paper's table has it. Several classes an image:
    logistic heads, the loss summed over classes.

    Args:
        recipe: budget and learning rate.
        augment: how training images are varied.
        dimension: numbers that a stage is resized to at most.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: SgdRecipe = PUBLISHED
    augment: Augmentation = field(default_factory=ShiftedCrop)
    dimension: int = 9600

    name = "zhang16_linear"
    version = 1
    paper = "arXiv:1603.08511"
    chooses = ("stage",)

    def __post_init__(self) -> None:
        BilinearResize(self.dimension)

    @property
    def read(self) -> Read:
        """Every stage, resized."""
        return EveryStage(BilinearResize(self.dimension))


@dataclass(frozen=True)
class Zhang16LinearAverage(StreamedProbe):
    """`Zhang16Linear` with the map averaged over its cells, as the paper's text says, and not its release.

    All else, and what the arguments say, is as in `zhang16_linear`.
    """

    recipe: SgdRecipe = PUBLISHED
    augment: Augmentation = field(default_factory=ShiftedCrop)
    dimension: int = 9600

    name = "zhang16_linear_average"
    version = 1
    paper = "arXiv:1603.08511"
    chooses = ("stage",)

    def __post_init__(self) -> None:
        AverageResize(self.dimension)

    @property
    def read(self) -> Read:
        """Every stage, averaged over cells."""
        return EveryStage(AverageResize(self.dimension))
