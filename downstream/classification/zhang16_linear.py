"""The linear probes of Zhang et al. (arXiv:1603.08511) on every stage of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.classification.baselines import blind_classifiers
from downstream.classification.labels import classification_metrics
from downstream.classification.streamed import FittedStream, check_stream, fit_stream
from downstream.features.map_resize import AverageResize, BilinearResize
from downstream.features.reductions import Reduction
from downstream.heads.inputs import EveryStage
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.images.augment import Augmentation, ShiftedCrop
from downstream.protocol import BlindPredictor, Metric, Protocol, Runtime
from downstream.selection import several
from pretext.data.dataset import Split
from pretext.encoder import Encoder

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
class Zhang16Linear(Protocol):
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
    train_limit: int | None = None

    name = "zhang16_linear"
    version = 1
    paper = "arXiv:1603.08511"
    task = "classification"
    trains_encoder = False

    def __post_init__(self) -> None:
        self.pool()

    def pool(self) -> Reduction:
        """What becomes of each map."""
        return BilinearResize(self.dimension)

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
            read=EveryStage(self.pool()),
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


@dataclass(frozen=True)
class Zhang16LinearAverage(Zhang16Linear):
    """`Zhang16Linear` with the map averaged over its cells, as the paper's text says, and not its release.

    All else is as in `zhang16_linear`.
    """

    name = "zhang16_linear_average"

    def pool(self) -> Reduction:
        """What becomes of each map."""
        return AverageResize(self.dimension)
