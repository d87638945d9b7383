"""Any detector over a split: detections, rows, the train score, pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from downstream.detection.average_precision import BY_SIZE, METRICS, AveragePrecision, coco_ap
from downstream.detection.boxes import boxes_of, check_against
from downstream.detection.draw import draw_detections
from downstream.detection.head import Detecting
from downstream.detection.matching import SIZES, Detections, count_targets, detection_rows, owner
from downstream.protocol import Measure, Predictions, Runtime, fractions
from downstream.selection import OneSetting
from pretext.data.dataset import Split
from pretext.data.split import limit, subset

TRAIN_SCORED = 500
"""Training images that the train score is taken on."""

Detect = Callable[[Split], Detections]


def average_precisions(split: Split) -> dict[str, AveragePrecision]:
    """COCO AP, the primary one, AP50, AP75, both of VOC's, and AP by size for sizes that `split` has.

    Sizes are areas of boxes in the pixels of the split: ap_below_32px, ap_32_to_96px, ap_above_96px. They are
    not COCO's AP_S, AP_M and AP_L, which go by the `area` of masks in photographs of the size published.
    """
    truth = boxes_of(split)
    classes = int(truth.labels.max(initial=0)) + 1
    there = {
        f"ap_{size}": BY_SIZE[size] for size in SIZES if count_targets(truth, classes, SIZES[size]).any()
    }
    return {**METRICS, **there}


def detection_metrics(split: Split) -> dict[str, Measure]:
    """See `average_precisions`."""
    return fractions(average_precisions(split))


def val_score(detect: Detect, split: Split, classes: int) -> float:
    """COCO AP, by which settings are selected."""
    truth = check_against(split, classes)
    return coco_ap(detection_rows(detect(split), truth, classes))


def train_score(detect: Detect, train: Split, classes: int) -> float:
    """COCO AP on a part of train; where that has no object, on a part of the images that have one."""
    part = limit(train, TRAIN_SCORED)
    if boxes_of(part).difficult.all():
        boxes = boxes_of(train)
        images = np.unique(owner(boxes.offsets)[~boxes.difficult])
        part = limit(subset(train, images), TRAIN_SCORED)
    return val_score(detect, part, classes)


@dataclass(frozen=True, kw_only=True)
class FittedDetectors(OneSetting):
    """One detector a stage, each with the setting that val chose.

    Attributes:
        detectors: by stage.
    """

    detectors: Mapping[str, Detecting]
    runtime: Runtime

    @property
    def head(self) -> Detecting:
        """That of the selected stage."""
        return self.detectors[self.stage]

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows of every stage; see `detection_rows`."""
        return {stage: head.rows(test, self.runtime) for stage, head in self.detectors.items()}

    def detect(self, split: Split) -> Detections:
        """Detections of the selected stage."""
        return self.head.detect(split, self.runtime)

    def show(self, images: Split, names: Sequence[str] = ()) -> NDArray[np.uint8]:
        """Draw the objects of each image beside its detections: (H, W, 3)."""
        return draw_detections(images, self.detect(images), names)
