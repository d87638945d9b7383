"""Faster R-CNN on a feature pyramid by its published schedule (arXiv:1612.03144, section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.detection.end_to_end import OneDetector
from downstream.detection.rcnn import RcnnDetector, checked_sizes, pyramid_parts
from downstream.protocol import require_positive
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.iterations import SteppedRecipe
from pretext.encoder import Encoder


@dataclass(frozen=True)
class FasterRcnnFpn(OneDetector):
    """Faster R-CNN on a feature pyramid over the last stage of every stride from 4 on, all fine-tuned.

    The detector is that of `faster_rcnn`, the schedule the published one for COCO: 80 k iterations of 16
    images at 0.02, a tenth of it from 60 k on, short side 800, BatchNorm fixed. Every stage's map is
    normalised before the pyramid, so that the rate means the same for features of any magnitude. The warm-up
    of 500 iterations is not in the paper; later code has it. Nothing is chosen on val.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        width: channels of the pyramid.
        min_sizes: short side of the resized image; several are drawn from while training, the last one is
            that of testing.
        max_size: its long side at most.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: sizes out of range.
    """

    recipe: SteppedRecipe = field(
        default_factory=lambda: SteppedRecipe(
            iterations=80_000,
            milestones=(60_000,),
            batch_size=16,
            lr=0.02,
            weight_decay=1e-4,
            warmup_iterations=500,
            warmup_factor=1 / 3,
            clip=None,
            optimiser=Optimiser.SGD,
            norm=Norm.EVAL,
        )
    )
    width: int = 256
    min_sizes: tuple[int, ...] = (800,)
    max_size: int = 1333
    name = "faster_rcnn_fpn"
    version = 1
    paper = "arXiv:1612.03144"

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_sizes", checked_sizes(self.name, self.min_sizes, self.max_size))
        require_positive(self, "width")

    def build(self, encoder: Encoder, classes: int) -> RcnnDetector:
        """Faster R-CNN on a pyramid."""
        parts = pyramid_parts(encoder, classes, self.width)
        return RcnnDetector(encoder, parts, self.min_sizes, self.max_size)
