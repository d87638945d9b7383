"""Faster R-CNN in the C4 layout on a frozen body (arXiv:1905.01235, section 6.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.detection.end_to_end import OneDetector
from downstream.detection.rcnn import RcnnDetector, c4_parts, checked_sizes
from downstream.tuning.finetuning import Norm, Optimiser
from downstream.tuning.iterations import SteppedRecipe
from pretext.encoder import Encoder


@dataclass(frozen=True)
class Goyal19C4(OneDetector):
    """Faster R-CNN with C4: proposals from the last stage but one, the last stage on each region as its head.

    All stages but the last are frozen, BatchNorm keeps its statistics everywhere: what is trained are the
    proposal network, the last stage and the box predictor. Schedule and learning rate are published, for VOC
    2007 (50 k iterations, one step at 38 k; with 2012 besides 100 k and 65 k); image sizes, batch, warm-up,
    weight decay and 64 regions an image are the defaults that the released configuration leaves as they are.
    Nothing is chosen on val. Losses and sampling are torchvision's.

    Args:
        recipe: budget and learning rate; its `frozen_stages` stay empty, which these are is said above.
        min_sizes: short side of the resized image; several are drawn from while training, the last one is
            that of testing.
        max_size: its long side at most.
        regions: sampled from the proposals of an image for the head's loss.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a value out of range.
    """

    recipe: SteppedRecipe = field(
        default_factory=lambda: SteppedRecipe(
            iterations=50_000,
            milestones=(38_000,),
            batch_size=4,
            lr=2e-3,
            weight_decay=5e-4,
            warmup_iterations=500,
            warmup_factor=1 / 3,
            clip=None,
            optimiser=Optimiser.SGD,
            norm=Norm.EVAL,
        )
    )
    min_sizes: tuple[int, ...] = (600,)
    max_size: int = 1000
    regions: int = 64
    name = "goyal19_c4"
    version = 1
    paper = "arXiv:1905.01235"

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_sizes", checked_sizes(self.name, self.min_sizes, self.max_size))
        if self.regions < 1:
            raise ValueError(f"{self.name}: regions={self.regions!r} is out of range")
        if self.recipe.frozen_stages:
            raise ValueError(
                f"{self.name}: frozen_stages={self.recipe.frozen_stages!r}, "
                "but all stages but the last are frozen"
            )

    @property
    def freezes(self) -> str:
        """All stages but the last; the statistics of that one too, unless the recipe trains them."""
        rest = ", BN statistics" if self.recipe.norm is Norm.EVAL else ""
        return f"all stages but the last{rest}"

    def build(self, encoder: Encoder, classes: int) -> RcnnDetector:
        """Faster R-CNN in the C4 layout, as many proposals as published."""
        parts = c4_parts(encoder, classes) | {
            "rpn_pre_nms_top_n_train": 12_000,
            "rpn_pre_nms_top_n_test": 2000,
            "box_batch_size_per_image": self.regions,
        }
        return RcnnDetector(encoder, parts, self.min_sizes, self.max_size)

    def frozen(self, encoder: Encoder) -> tuple[str, ...]:
        """All stages but the last."""
        return encoder.stage_names[:-1]
