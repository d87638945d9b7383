"""Faster R-CNN (arXiv:1506.01497) on an encoder, at the resolutions that papers use."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.detection.end_to_end import OneDetector
from downstream.detection.rcnn import RcnnDetector, c4_parts, pyramid_parts
from downstream.protocol import require_positive
from downstream.tuning.finetuning import Norm, Optimiser, Recipe, Tuning
from downstream.tuning.rates import WithRates
from pretext.encoder import Encoder


@dataclass(frozen=True)
class FasterRcnn(WithRates, OneDetector):
    """Train a copy of the encoder inside Faster R-CNN, end to end.

    The defaults are a schedule of one GPU on PASCAL VOC; arXiv:1905.01235 freezes all stages but the last
    and uses C4, arXiv:1911.05722 freezes none.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        pyramid: feature pyramid (arXiv:1612.03144) instead of C4.
        width: channels of the pyramid.
        min_size, max_size: of the resized image: its short side, and at most its long side.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: Tuning = field(
        default_factory=lambda: Recipe(
            epochs=24,
            batch_size=16,
            lr=0.02,
            weight_decay=1e-4,
            warmup=0.01,
            optimiser=Optimiser.SGD,
            norm=Norm.EVAL,
        )
    )
    pyramid: bool = True
    width: int = 256
    min_size: int = 800
    max_size: int = 1333
    name = "faster_rcnn"
    version = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.min_size <= self.max_size:
            raise ValueError(
                f"FasterRcnn: 1 ≤ min_size ≤ max_size must hold, got {self.min_size} and {self.max_size}"
            )
        require_positive(self, "width")

    def build(self, encoder: Encoder, classes: int) -> RcnnDetector:
        """Faster R-CNN on a pyramid, or in the C4 layout."""
        parts = pyramid_parts(encoder, classes, self.width) if self.pyramid else c4_parts(encoder, classes)
        return RcnnDetector(encoder, parts, (self.min_size,), self.max_size)
