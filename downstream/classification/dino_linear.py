"""The linear probe of DINO (arXiv:2104.14294) on the last blocks of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.streamed import StreamedProbe
from downstream.heads.inputs import LastClassTokens
from downstream.heads.sgd_heads import Read
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ResizedCrop

PUBLISHED = SgdRecipe(lrs=(0.001,), epochs=100, batch_size=1024, base_batch=256)
"""Budget and rate of the release, 128 images on each of 8 GPUs: no decay, no normalisation."""


@dataclass(frozen=True)
class DinoLinear(StreamedProbe):
    """A softmax layer on the class tokens of a transformer's last four blocks, side by side.

    As published for ViT-S: each block's class token behind the final LayerNorm. Other networks: the last
    stage's averaged map, as the paper has it for ResNet-50. The learning rate is for batches of 256, scaled
    to the batch, and falls as a cosine, here step by step, in the release epoch by epoch. Training images
    are cropped at random, resized and mirrored; plain ones are scored, after the last epoch: the release
    names the best epoch on the images that it reports. Nothing is chosen here, on any split. Several classes
    an image: logistic heads, the loss summed over classes.

    Args:
        recipe: budget and learning rate.
        augment: how training images are varied.
        blocks: last blocks of a transformer that are read.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: SgdRecipe = PUBLISHED
    augment: Augmentation = field(default_factory=ResizedCrop)
    blocks: int = 4

    name = "dino_linear"
    version = 1
    paper = "arXiv:2104.14294"

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(f"{self.name}: blocks must be at least 1, got {self.blocks}")

    @property
    def read(self) -> Read:
        """The class tokens of the last blocks."""
        return LastClassTokens(self.blocks)
