"""The linear probes of Goyal et al. (arXiv:1905.01235) on every stage of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.baselines import blind_classifiers
from downstream.classification.labels import classification_metrics
from downstream.classification.streamed import FittedStream, check_stream, fit_stream
from downstream.features.window_pool import WindowPool
from downstream.heads.inputs import EveryStage
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ResizedCrop
from downstream.protocol import BlindPredictor, Metric, Protocol, Runtime
from downstream.selection import several
from pretext.data.dataset import Split
from pretext.encoder import Encoder

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
class Goyal19Linear(Protocol):
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
    train_limit: int | None = None

    name = "goyal19_linear"
    version = 1
    paper = "arXiv:1905.01235"
    task = "classification"
    trains_encoder = False

    def __post_init__(self) -> None:
        WindowPool(self.dimension)

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage; the learning rate where there are several."""
        return ("stage", *several(lr=self.recipe.lrs))

    def check(self, train: Split, *held: Split) -> None:
        """See `check_stream`."""
        check_stream(train, self.train_limit, *held)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedStream:
        """Train all stages' heads on train, choose the stage on val.

        Raises:
            ValueError, FloatingPointError: as `fit_stream`.
        """
        return fit_stream(
            encoder,
            train,
            val,
            runtime,
            read=EveryStage(WindowPool(self.dimension)),
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
