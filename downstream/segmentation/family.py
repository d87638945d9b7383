"""What protocols that segment images have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.head import WithHead
from downstream.protocol import BlindPredictor, Measure
from downstream.segmentation.baselines import blind_segmenters
from downstream.segmentation.masks import check_masks, segmentation_metrics
from pretext.data.dataset import Split
from pretext.data.split import limit


@dataclass(frozen=True)
class Segmentation(WithHead):
    """Every pixel gets a class.

    Args:
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    train_limit: int | None = field(default=None, kw_only=True)

    task = "segmentation"

    def check(self, train: Split, *held: Split) -> None:
        """See `check_masks`."""
        check_masks(limit(train, self.train_limit), *held)

    def metrics(self, split: Split) -> dict[str, Measure]:
        """See `segmentation_metrics`."""
        return segmentation_metrics(split)

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_segmenters`."""
        return blind_segmenters()
