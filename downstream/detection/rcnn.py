"""Faster R-CNN (arXiv:1506.01497) on an encoder, in its two layouts: C4 and with a feature pyramid."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from downstream.detection.boxes import Target
from downstream.detection.end_to_end import Detector
from downstream.detection.maps import Pyramid, pyramid_stages
from pretext.encoder import Encoder

RATIOS = (0.5, 1.0, 2.0)
"""Height by width of the anchors."""

IMAGES_AT_ONCE = 8
"""Images that are detected on together: they grow to full size on the way in."""

_C4_ANCHORS = (32, 64, 128, 256, 512)


class PyramidMaps(nn.Module):
    """Image → levels of a feature pyramid, and coarser ones behind the last.

    Args:
        finest: the stride that the pyramid begins at.
        extra: what adds the coarser levels.
    """

    def __init__(self, encoder: Encoder, width: int, finest: int, extra: ExtraFPNBlock) -> None:
        super().__init__()
        self.encoder = encoder
        self.stages = pyramid_stages(encoder.stages, finest)
        self.neck = Pyramid(self.stages, width, extra)
        self.out_channels = width

    def forward(self, rgb: Tensor) -> OrderedDict[str, Tensor]:
        """Map images (B, 3, H, W) to the levels (B, width, h, w), finest first."""
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

    def __init__(self, encoder: Encoder, extra_norm: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = nn.BatchNorm2d(encoder.stages[-1].channels) if extra_norm else nn.Identity()

    def forward(self, regions: Tensor) -> Tensor:
        """Map regions (R, C, 14, 14) to (R, channels of the last stage)."""
        last = self.encoder.stage_names[-1]
        pooled: Tensor = self.norm(self.encoder(regions, start=last, stop=last).maps[last]).mean((2, 3))
        return pooled


class RcnnDetector(Detector):
    """Torchvision's Faster R-CNN on an encoder; the encoder's own input is the only normalisation.

    Args:
        parts: of torchvision's `FasterRCNN`, see `pyramid_parts` and `c4_parts`.
        min_sizes: short side of the resized image; several are drawn from while training, the last one is
            that of testing.
        max_size: its long side at most.
    """

    def __init__(
        self, encoder: Encoder, parts: dict[str, Any], min_sizes: Sequence[int], max_size: int
    ) -> None:
        super().__init__(encoder)
        self.stage = encoder.stage_names[-1]
        self.rcnn = FasterRCNN(
            **parts,
            min_size=tuple(min_sizes),
            max_size=max_size,
            image_mean=[0.0] * 3,
            image_std=[1.0] * 3,
        )

    def loss(self, rgb: Tensor, targets: list[Target]) -> Tensor:
        """Return the sum of the proposal network's and the region head's four losses."""
        # Torchvision's label 0 is the background.
        shifted = [{**target, "labels": target["labels"] + 1} for target in targets]
        losses: dict[str, Tensor] = self.rcnn(list(rgb), shifted)
        return torch.stack(list(losses.values())).sum()

    def detect(self, rgb: Tensor, given: list[Target]) -> list[Target]:
        """Detections of each image."""
        parts = torch.split(rgb, IMAGES_AT_ONCE)
        return [{**found, "labels": found["labels"] - 1} for part in parts for found in self.rcnn(list(part))]


def pyramid_parts(encoder: Encoder, classes: int, width: int) -> dict[str, Any]:
    """Parts on a feature pyramid (arXiv:1612.03144) over the last stage of every stride from 4 on.

    As in the paper there is a coarser level for the largest anchors, and a head of two hidden layers.
    """
    maps = PyramidMaps(encoder, width, 4, LastLevelMaxPool())
    strides = [stage.stride for stage in maps.stages]
    sizes = tuple((8 * stride,) for stride in [*strides, 2 * strides[-1]])
    return {
        "backbone": maps,
        "num_classes": classes + 1,
        "rpn_anchor_generator": AnchorGenerator(sizes, (RATIOS,) * len(sizes)),
        "box_roi_pool": MultiScaleRoIAlign([stage.name for stage in maps.stages], 7, 2),
    }


def c4_parts(encoder: Encoder, classes: int, extra_norm: bool = False) -> dict[str, Any]:
    """Parts where the last stage is the head of the regions (C4: arXiv:1512.03385, section A).

    Args:
        extra_norm: BatchNorm behind the last stage (arXiv:1911.05722, section 4.2).

    Raises:
        ValueError: an encoder of one stage.
    """
    if len(encoder.stages) < 2:
        raise ValueError(
            "C4 needs an encoder of two stages or more: proposals come from the last but one, regions go "
            f"through the last; this one has {encoder.stage_names[0]!r} alone"
        )
    maps = _C4Maps(encoder)
    return {
        "backbone": maps,
        "rpn_anchor_generator": AnchorGenerator((_C4_ANCHORS,), (RATIOS,)),
        "box_roi_pool": MultiScaleRoIAlign([maps.stage.name], 14, 2),
        "box_head": _LastStage(encoder, extra_norm),
        "box_predictor": FastRCNNPredictor(encoder.stages[-1].channels, classes + 1),
    }


def checked_sizes(name: str, min_sizes: tuple[int, ...], max_size: int) -> tuple[int, ...]:
    """Short sides as a tuple of integers.

    Raises:
        ValueError: none, or one that is not positive or exceeds the longest long side; names the protocol.
    """
    sizes = tuple(int(size) for size in min_sizes)
    if not sizes or not 1 <= min(sizes) <= max(sizes) <= max_size:
        raise ValueError(f"{name}: 1 ≤ min_sizes ≤ max_size must hold, got {sizes} and {max_size}")
    return sizes
