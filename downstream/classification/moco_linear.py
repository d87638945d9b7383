"""The linear probe of MoCo (arXiv:1911.05722) on the last stage of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.baselines import blind_classifiers
from downstream.classification.labels import classification_metrics
from downstream.classification.streamed import FittedStream, check_stream, fit_stream
from downstream.heads.inputs import LastStage
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ResizedCrop
from downstream.protocol import BlindPredictor, Metric, Protocol, Runtime
from downstream.selection import several
from pretext.data.dataset import Split
from pretext.encoder import Encoder

PUBLISHED = SgdRecipe(lrs=(30.0,), epochs=100, milestones=(60, 80), batch_size=256)
"""Budget and rate of the release: no decay, no normalisation."""


@dataclass(frozen=True)
class MocoLinear(Protocol):
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
    train_limit: int | None = None

    name = "moco_linear"
    version = 1
    paper = "arXiv:1911.05722"
    task = "classification"
    trains_encoder = False

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
            ValueError, FloatingPointError: as `fit_stream`.
        """
        return fit_stream(
            encoder,
            train,
            val,
            runtime,
            read=LastStage(),
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
