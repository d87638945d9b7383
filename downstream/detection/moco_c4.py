"""Faster R-CNN in the C4 layout, everything trained, five trials (arXiv:1911.05722, section 4.2.1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from downstream.detection.end_to_end import EndToEnd
from downstream.detection.rcnn import RcnnDetector, c4_parts, checked_sizes
from downstream.detection.repeated import MeanOverTrials, RepeatedDetectors, Trials, repeated
from downstream.detection.scoring import average_precisions
from downstream.head import Form
from downstream.protocol import Measure, Runtime, fractions
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.iterations import SteppedRecipe
from pretext.data.dataset import Split
from pretext.encoder import Encoder


@dataclass(frozen=True)
class MocoC4(EndToEnd):
    """Faster R-CNN with C4, nothing frozen, BatchNorm trained, one more BatchNorm behind the last stage.

    The published schedule for VOC 2007 + 2012: 24 k iterations of 16 images at 0.02, steps at 18 k and 22 k,
    warm-up of 100, short sides of 480 to 800. A score is the mean over five trainings that differ in their
    seed alone (initial head, order, mirroring, sizes), as published; the rows keep every trial, and its
    interval is over test images, the trials being averaged in each resample. Nothing is chosen on val.
    BatchNorm sees the whole batch, which the published training synchronises over GPUs for; the statistics
    that are tested with are running averages, not recomputed. Losses are torchvision's.

    Args:
        recipe: budget, learning rates, BatchNorm.
        trials: trainings.
        min_sizes: short side of the resized image; several are drawn from while training, the last one is
            that of testing.
        max_size: its long side at most.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a value out of range.
    """

    recipe: SteppedRecipe = field(
        default_factory=lambda: SteppedRecipe(
            iterations=24_000,
            milestones=(18_000, 22_000),
            batch_size=16,
            lr=0.02,
            weight_decay=1e-4,
            warmup_iterations=100,
            warmup_factor=1e-3,
            clip=None,
            optimiser=Optimiser.SGD,
            norm=Norm.TRAIN,
        )
    )
    trials: int = 5
    min_sizes: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    max_size: int = 1333
    name = "moco_c4"
    version = 1
    paper = "arXiv:1911.05722"

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_sizes", checked_sizes(self.name, self.min_sizes, self.max_size))
        if self.trials < 1:
            raise ValueError(f"{self.name}: trials={self.trials!r} is out of range")

    def build(self, encoder: Encoder, classes: int) -> RcnnDetector:
        """Faster R-CNN in the C4 layout with one more BatchNorm, as many proposals as published."""
        parts = c4_parts(encoder, classes, extra_norm=True) | {
            "rpn_pre_nms_top_n_train": 12_000,
            "rpn_pre_nms_top_n_test": 6000,
        }
        return RcnnDetector(encoder, parts, self.min_sizes, self.max_size)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> RepeatedDetectors:
        """Train the detectors; val is scored, nothing is chosen by it.

        Raises:
            ValueError: as `trained`.
        """
        first = runtime.seed * self.trials  # no two draws share a trial
        runtimes = [replace(runtime, seed=first + i) for i in range(self.trials)]
        return repeated([self.trained(encoder, train, val, one) for one in runtimes])

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> Trials:
        """A detector a trial."""
        heads = [self.untrained_detector(encoder, form.classes, runtime) for _ in range(self.trials)]
        return Trials(classes=form.classes, heads=tuple(heads))

    def metrics(self, split: Split) -> dict[str, Measure]:
        """Means over trials of what `average_precisions` has."""
        return fractions({name: MeanOverTrials(of) for name, of in average_precisions(split).items()})
