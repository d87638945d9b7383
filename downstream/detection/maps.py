"""From an encoder's stages to the feature maps that torchvision's detectors take."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from pretext.backbones import Stage


@dataclass(frozen=True)
class AtMost:
    """A map averaged down to at most `rows` × `columns` cells, float32: every stage costs a head the same."""

    rows: int
    columns: int

    @property
    def dtype(self) -> torch.dtype:
        """Float32: values may exceed what float16 holds."""
        return torch.float32

    def __call__(self, features: Tensor, index: Tensor) -> Tensor:
        """Reduce (B, C, h, w) to (B, C, min(h, rows), min(w, columns))."""
        height, width = features.shape[-2:]
        if height <= self.rows and width <= self.columns:
            return features
        return F.adaptive_avg_pool2d(features, (min(height, self.rows), min(width, self.columns)))


def at_stride(height: int, width: int, stride: int) -> AtMost:
    """The reduction that leaves one cell every `stride` pixels of an image, or a coarser map as it is."""
    return AtMost(math.ceil(height / stride), math.ceil(width / stride))


class SingleMap(nn.Module):
    """One stage's map, normalised and projected to `width` channels.

    BatchNorm without affine parameters lets the learning rate mean the same for features of any magnitude.
    """

    def __init__(self, stage: Stage, width: int) -> None:
        super().__init__()
        self.stage = stage.name
        self.out_channels = width
        self.project = nn.Sequential(
            nn.BatchNorm2d(stage.channels, affine=False),
            nn.Conv2d(stage.channels, width, 1),
            nn.ReLU(inplace=True),
        )

    def forward(self, maps: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        """Map {stage: (B, C, h, w), …} to {stage: (B, width, h, w)}."""
        return OrderedDict([(self.stage, self.project(maps[self.stage]))])


class Pyramid(nn.Module):
    """A feature pyramid (arXiv:1612.03144) over several stages, finest first; `width` channels each.

    Args:
        stages: finest first.
        width: channels of every level.
        extra: what adds coarser levels.
    """

    def __init__(self, stages: Sequence[Stage], width: int, extra: ExtraFPNBlock | None = None) -> None:
        super().__init__()
        self.stages = tuple(stage.name for stage in stages)
        self.out_channels = width
        self.norms = nn.ModuleDict({s.name: nn.BatchNorm2d(s.channels, affine=False) for s in stages})
        self.fpn = FeaturePyramidNetwork([stage.channels for stage in stages], width, extra)

    def forward(self, maps: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        """Map {stage: (B, C, h, w), …} to {stage: (B, width, h, w)}, finest first."""
        levels: OrderedDict[str, Tensor] = self.fpn(
            OrderedDict((name, self.norms[name](maps[name])) for name in self.stages)
        )
        return levels


def pyramid_stages(stages: Sequence[Stage], finest: int = 4) -> tuple[Stage, ...]:
    """The last stage of every stride from `finest` on, as pyramids are built; finest first.

    Raises:
        ValueError: no stage has such a stride.
    """
    last = {stage.stride: stage for stage in stages if stage.stride >= finest}
    if not last:
        strides = ", ".join(str(stage.stride) for stage in stages)
        raise ValueError(f"no stage has a stride of {finest} or more; the strides are: {strides}")
    return tuple(last[stride] for stride in sorted(last))
