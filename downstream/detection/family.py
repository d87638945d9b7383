"""What protocols that find objects have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from downstream.detection.baselines import blind_detectors
from downstream.detection.boxes import check_boxes
from downstream.head import WithHead
from downstream.protocol import BlindPredictor
from pretext.data.dataset import Split
from pretext.data.split import limit


@dataclass(frozen=True)
class Detection(WithHead):
    """Objects are found in images: boxes, classes and scores.

    Args:
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    train_limit: int | None = field(default=None, kw_only=True)

    task = "detection"

    def check(self, train: Split, *held: Split) -> None:
        """See `check_boxes`."""
        check_boxes(limit(train, self.train_limit), *held)

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_detectors`."""
        return blind_detectors()
