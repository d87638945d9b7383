"""The linear probe of MoCo (arXiv:1911.05722) on the last stage of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.streamed import StreamedProbe
from downstream.heads.inputs import LastStage
from downstream.heads.sgd_heads import Read
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ResizedCrop

PUBLISHED = SgdRecipe(lrs=(30.0,), epochs=100, milestones=(60, 80), batch_size=256)
"""Budget and rate of the release: no decay, no normalisation."""


@dataclass(frozen=True)
class MocoLinear(StreamedProbe):
    """A softmax layer on the last stage's averaged map, at a learning rate of 30 and without decay.

    The rate suits features of a small magnitude, as contrastive training leaves them; none is normalised.
    Training images are cropped at random, resized and mirrored; plain ones are scored. Nothing is chosen, on
    any split. Several classes an image: logistic heads, the loss summed over classes.

    Args:
        recipe: budget and learning rate.
        augment: how training images are varied.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: SgdRecipe = PUBLISHED
    augment: Augmentation = field(default_factory=ResizedCrop)

    name = "moco_linear"
    version = 1
    paper = "arXiv:1911.05722"

    @property
    def read(self) -> Read:
        """The last stage's averaged map."""
        return LastStage()
