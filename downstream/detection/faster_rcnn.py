"""Faster R-CNN (arXiv:1506.01497) on an encoder, at the resolutions that papers use."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from downstream.detection.baselines import blind_detectors
from downstream.detection.boxes import Target
from downstream.detection.end_to_end import Detector, fit_detectors
from downstream.detection.maps import Pyramid, pyramid_stages
from downstream.detection.scoring import FittedDetectors, detection_metrics
from downstream.finetuning import Norm, Recipe
from downstream.limit import limit
from downstream.protocol import BlindPredictor, Metric, Protocol, Runtime
from downstream.selection import several
from pretext.data.dataset import Split
from pretext.encoder import Encoder

_RATIOS = (0.5, 1.0, 2.0)
_C4_ANCHORS = (32, 64, 128, 256, 512)
_IMAGES_AT_ONCE = 8  # they grow to `min_size` on the way in


class _PyramidMaps(nn.Module):
    """Image → pyramid levels and, as in the paper, a coarser one for the largest anchors."""

    def __init__(self, encoder: Encoder, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.stages = pyramid_stages(encoder.stages)
        self.neck = Pyramid(self.stages, width, LastLevelMaxPool())
        self.out_channels = width

    def forward(self, rgb: Tensor) -> OrderedDict[str, Tensor]:
        levels: OrderedDict[str, Tensor] = self.neck(self.encoder(rgb).maps)
        return levels


class _C4Maps(nn.Module):
    """Image → the map before the last stage."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.stage = encoder.stages[-2]
        self.out_channels = self.stage.channels

    def forward(self, rgb: Tensor) -> OrderedDict[str, Tensor]:
        name = self.stage.name
        return OrderedDict([(name, self.encoder(rgb, stop=name).maps[name])])


class _LastStage(nn.Module):
    """The encoder's last stage on each region, averaged: R-CNN's head in the C4 layout."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, regions: Tensor) -> Tensor:
        """Map regions (R, C, 14, 14) to (R, channels of the last stage)."""
        last = self.encoder.stage_names[-1]
        pooled: Tensor = self.encoder(regions, start=last, stop=last).maps[last].mean((2, 3))
        return pooled


class FasterRcnnDetector(Detector):
    """Torchvision's Faster R-CNN on an encoder; the encoder's own input is the only normalisation.

    Args:
        encoder: with `pyramid`, the last stage of every stride from 4 on is used; without it the last
            stage is the head of the regions (C4: arXiv:1512.03385, section A).
        classes: number of classes, background not counted.
        pyramid: feature pyramid instead of C4.
        width: channels of the pyramid.
        min_size, max_size: of the resized image: its short side, and at most its long side.

    Raises:
        ValueError: a C4 head on an encoder of one stage.
    """

    def __init__(
        self, encoder: Encoder, classes: int, pyramid: bool, width: int, min_size: int, max_size: int
    ) -> None:
        super().__init__(encoder)
        self.stage = encoder.stage_names[-1]
        if not pyramid and len(encoder.stages) < 2:
            raise ValueError(
                "FasterRcnnDetector: C4 needs an encoder of two stages or more; use pyramid=True"
            )
        parts = _pyramid_parts(encoder, classes, width) if pyramid else _c4_parts(encoder, classes)
        self.rcnn = FasterRCNN(
            **parts, min_size=min_size, max_size=max_size, image_mean=[0.0] * 3, image_std=[1.0] * 3
        )

    def loss(self, rgb: Tensor, targets: list[Target]) -> Tensor:
        """Return the sum of the proposal network's and the region head's four losses."""
        # Torchvision's label 0 is the background.
        shifted = [{**target, "labels": target["labels"] + 1} for target in targets]
        losses: dict[str, Tensor] = self.rcnn(list(rgb), shifted)
        return torch.stack(list(losses.values())).sum()

    def detect(self, rgb: Tensor) -> list[Target]:
        """Detections of each image."""
        parts = torch.split(rgb, _IMAGES_AT_ONCE)
        return [{**found, "labels": found["labels"] - 1} for part in parts for found in self.rcnn(list(part))]


def _pyramid_parts(encoder: Encoder, classes: int, width: int) -> dict[str, Any]:
    maps = _PyramidMaps(encoder, width)
    strides = [stage.stride for stage in maps.stages]
    sizes = tuple((8 * stride,) for stride in [*strides, 2 * strides[-1]])
    return {
        "backbone": maps,
        "num_classes": classes + 1,
        "rpn_anchor_generator": AnchorGenerator(sizes, (_RATIOS,) * len(sizes)),
        "box_roi_pool": MultiScaleRoIAlign([stage.name for stage in maps.stages], 7, 2),
    }


def _c4_parts(encoder: Encoder, classes: int) -> dict[str, Any]:
    maps = _C4Maps(encoder)
    return {
        "backbone": maps,
        "rpn_anchor_generator": AnchorGenerator((_C4_ANCHORS,), (_RATIOS,)),
        "box_roi_pool": MultiScaleRoIAlign([maps.stage.name], 14, 2),
        "box_head": _LastStage(encoder),
        "box_predictor": FastRCNNPredictor(encoder.stages[-1].channels, classes + 1),
    }


@dataclass(frozen=True)
class FasterRcnn(Protocol):
    """Train a copy of the encoder inside Faster R-CNN, end to end.

    The defaults are a schedule of one GPU on PASCAL VOC; arXiv:1905.01235 freezes all stages but the last
    and uses C4, arXiv:1911.05722 freezes none.

    Args:
        recipe: budget, learning rates, frozen stages, BatchNorm.
        lrs: head learning rates to choose among on val, each a training of its own; `recipe.lr` if empty.
        pyramid: feature pyramid (arXiv:1612.03144) instead of C4.
        width: channels of the pyramid.
        min_size, max_size: resolution, see `FasterRcnnDetector`.
        flip: mirror training images at random.
        train_limit: train on that many images, drawn by the split's digest; on all without it.
    """

    recipe: Recipe = field(
        default_factory=lambda: Recipe(epochs=24, batch_size=16, lr=0.02, warmup=0.01, norm=Norm.EVAL)
    )
    lrs: tuple[float, ...] = ()
    pyramid: bool = True
    width: int = 256
    min_size: int = 800
    max_size: int = 1333
    flip: bool = True
    train_limit: int | None = None
    name = "faster_rcnn"
    version = 1
    task = "detection"
    trains_encoder = True

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        if not 1 <= self.min_size <= self.max_size:
            raise ValueError(
                f"FasterRcnn: 1 ≤ min_size ≤ max_size must hold, got {self.min_size} and {self.max_size}"
            )

    @property
    def selects(self) -> tuple[str, ...]:
        """The learning rate where there are several."""
        return several(lr=self.lrs)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedDetectors:
        """Train one detector a learning rate, keep the one that is best on val.

        Raises:
            ValueError: boxes that are missing or bad (names split and image), or no box in train.
        """

        def build(copied: Encoder, classes: int) -> FasterRcnnDetector:
            return FasterRcnnDetector(copied, classes, self.pyramid, self.width, self.min_size, self.max_size)

        train = limit(train, self.train_limit)
        return fit_detectors(build, encoder, train, val, self.recipe, self.lrs, self.flip, runtime)

    def metrics(self, split: Split) -> dict[str, Metric]:
        """See `detection_metrics`."""
        return detection_metrics()

    def blind(self) -> dict[str, BlindPredictor]:
        """See `blind_detectors`."""
        return blind_detectors()
