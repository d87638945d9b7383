"""The linear probe of DINO (arXiv:2104.14294) on the last blocks of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.baselines import blind_classifiers
from downstream.classification.labels import classification_metrics
from downstream.classification.streamed import FittedStream, check_stream, fit_stream
from downstream.heads.inputs import LastClassTokens
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ResizedCrop
from downstream.protocol import BlindPredictor, Metric, Protocol, Runtime
from downstream.selection import several
from pretext.data.dataset import Split
from pretext.encoder import Encoder

PUBLISHED = SgdRecipe(lrs=(0.001,), epochs=100, batch_size=1024, base_batch=256)
"""Budget and rate of the release, 128 images on each of 8 GPUs: no decay, no normalisation."""


@dataclass(frozen=True)
class DinoLinear(Protocol):
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
    train_limit: int | None = None

    name = "dino_linear"
    version = 1
    paper = "arXiv:2104.14294"
    task = "classification"
    trains_encoder = False

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(f"{self.name}: blocks must be at least 1, got {self.blocks}")

    @property
    def selects(self) -> tuple[str, ...]:
        """Nothing; the learning rate where there are several."""
        return several(lr=self.recipe.lrs)

    def check(self, train: Split, *held: Split) -> None:
        """See `check_stream`."""
        check_stream(train, self.train_limit, *held)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedStream:
        """Train the head on train.

        Raises:
            ValueError, FloatingPointError: as `fit_stream`; a transformer with fewer blocks.
        """
        return fit_stream(
            encoder,
            train,
            val,
            runtime,
            read=LastClassTokens(self.blocks),
            recipe=self.recipe,
            augment=self.augment,
            train_limit=self.train_limit,
        )

    def metrics(self, split: Split) -> dict[str, Metric]:
        """See `classification_metrics`."""
        return classification_metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_classifiers`."""
        return blind_classifiers()
