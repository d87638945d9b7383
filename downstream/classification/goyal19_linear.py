"""The linear probes of Goyal et al. (arXiv:1905.01235) on every stage of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.streamed import StreamedProbe
from downstream.features.pooling import WindowPool
from downstream.heads.inputs import EveryStage
from downstream.heads.sgd_heads import Read
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ResizedCrop

PUBLISHED = SgdRecipe(
    lrs=(0.01,),
    iterations=140_000,
    milestones=(40_000, 80_000, 120_000),
    batch_size=256,
    nesterov=True,
    weight_decay=1e-4,
    normalise=True,
)
"""Budget, rates and normalisation published for ResNet-50."""


@dataclass(frozen=True)
class Goyal19Linear(StreamedProbe):
    """A softmax layer on every stage's map, averaged over windows to about 9,000 numbers.

    The windows are `WindowPool`'s; each pooled map is normalised by channel (BatchNorm without affine part).
    All heads are trained at once on the same images, cropped at random, resized and mirrored, and scored on
    the plain ones. As published for ResNet-50; for AlexNet the release has weight decay 5e-4, no Nesterov
    momentum and no random crops. Its changes of lighting and colour are left out. Nothing is chosen but the
    stage that stands for the encoder, on val; every stage is recorded. Several classes an image: logistic
    heads, the loss summed over classes.

    Args:
        recipe: budget and learning rate.
        augment: how training images are varied.
        dimension: numbers that a stage is pooled to at most.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: SgdRecipe = PUBLISHED
    augment: Augmentation = field(default_factory=ResizedCrop)
    dimension: int = 9600

    name = "goyal19_linear"
    version = 1
    paper = "arXiv:1905.01235"
    chooses = ("stage",)

    def __post_init__(self) -> None:
        WindowPool(self.dimension)

    @property
    def read(self) -> Read:
        """Every stage, pooled."""
        return EveryStage(WindowPool(self.dimension))
