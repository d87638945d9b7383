"""The grid of linear probes of DINOv2 (arXiv:2304.07193), trained at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.streamed import StreamedProbe
from downstream.heads.inputs import LastBlocks
from downstream.heads.sgd_heads import Read
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ResizedCrop

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
"""The published learning rates, for batches of 256."""

PUBLISHED = SgdRecipe(lrs=RATES, iterations=12_500, batch_size=1024, base_batch=256)
"""Budget and rates of the release, 128 images on each of 8 GPUs: no decay, no normalisation."""


@dataclass(frozen=True)
class Dinov2Grid(StreamedProbe):
    """52 softmax layers at once: 13 learning rates, the last block or the last four, an average or not.

    What each reads is said in `LastBlocks`: class tokens, with the average of the patches or without;
    convolutional networks, which the paper does not have, are read by averages or by cells of their last
    stages. The learning rates are for batches of 256, scaled to the batch, and fall as a cosine. Training
    images are cropped at random, resized and mirrored; plain ones are scored. Learning rate and reading are
    chosen on val, and test is seen once: the paper reports the best of the 52 on the very images (ImageNet's
    validation set) that it was chosen on, so that its numbers are higher by that much. Several classes an
    image: logistic heads, the loss summed over classes.

    Args:
        recipe: budget and learning rates.
        augment: how training images are varied.
        blocks: how many of the last blocks (of other networks, stages) are read; each a choice.
        dimension: numbers that a stage's cells make at most, where there are no class tokens.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: SgdRecipe = PUBLISHED
    augment: Augmentation = field(default_factory=ResizedCrop)
    blocks: tuple[int, ...] = (1, 4)
    dimension: int = 9600

    name = "dinov2_grid"
    version = 1
    paper = "arXiv:2304.07193"
    chooses = ("reading",)

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "blocks", tuple(int(n) for n in self.blocks))
        if not self.blocks or min(self.blocks) < 1:
            raise ValueError(f"{self.name}: blocks must be numbers from 1, got {self.blocks}")
        if self.dimension < 1:
            raise ValueError(f"{self.name}: dimension must be at least 1, got {self.dimension}")

    @property
    def read(self) -> Read:
        """The last blocks, with an average and without."""
        return LastBlocks(self.blocks, self.dimension)
