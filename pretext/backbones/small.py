"""SmallNet: five convolutions for images of about 64 pixels, of AlexNet's family."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from pretext.backbones.base import MapBackbone, Stage


class SmallNet(MapBackbone):
    """Five convolutions, each with BatchNorm and ReLU; strides 2, 4, 4, 8, 8.

    The first is 5×5, the others 3×3; strided convolutions stand where AlexNet pools, which saves the
    full-resolution maps. With one input channel and the default widths: 36.2 M multiply-adds at 64 px,
    333 k parameters. Every stage's map is ⌈H / stride⌉ × ⌈W / stride⌉. BatchNorm is affine, so that the
    convolutions need no bias; they start from He's normal distribution by fan-in (arXiv:1502.01852).

    Args:
        in_channels: channels of the input map.
        widths: channels of conv1 … conv5.
        batchnorm: False for convolutions with bias instead, into which BatchNorm has been taken
            (`pretext.backbones.calibration`).

    Raises:
        ValueError: not five positive widths.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int] = (32, 64, 96, 128, 128), batchnorm: bool = True
    ) -> None:
        widths = [int(width) for width in widths]
        if len(widths) != 5 or min(widths) < 1:
            raise ValueError(f"SmallNet takes five positive widths, got {widths}")
        strides = (2, 2, 1, 2, 1)
        kernels = (5, 3, 3, 3, 3)
        stages, blocks, total = [], [], 1
        for i, (before, width) in enumerate(zip([in_channels, *widths], widths, strict=False)):
            total *= strides[i]
            stages.append(Stage(f"conv{i + 1}", width, total))
            blocks.append(_block(before, width, kernels[i], strides[i], batchnorm))
        # Named where it is off alone: saved encoders and finished runs are compared by their arguments.
        absorbed = {} if batchnorm else {"batchnorm": False}
        super().__init__(in_channels, stages, blocks, {"widths": widths, **absorbed})
        self.to(memory_format=torch.channels_last)  # a tenth faster on a CPU, and what tensor cores want


def _block(in_channels: int, out_channels: int, kernel: int, stride: int, batchnorm: bool) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=not batchnorm)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if batchnorm:
        parts["norm"] = nn.BatchNorm2d(out_channels)
    parts["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(parts)
