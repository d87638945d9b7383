"""The VGG-style trunk of Colorful Image Colorization (Zhang, Isola & Efros 2016, arXiv:1603.08511)."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from torch import nn

from pretext.backbones.base import MapBackbone, Stage


class _Block(NamedTuple):
    name: str
    channels: int
    convolutions: int
    stride: int = 1  # of the last convolution
    dilation: int = 1


BLOCKS = (
    _Block("conv1", 64, 2, stride=2),
    _Block("conv2", 128, 2, stride=2),
    _Block("conv3", 256, 3, stride=2),
    _Block("conv4", 512, 3),
    _Block("conv5", 512, 3, dilation=2),
    _Block("conv6", 512, 3, dilation=2),
    _Block("conv7", 512, 3),
)


class ColorNet(MapBackbone):
    """Blocks conv1 … conv7 of the colorization network; strides 2, 4, 8, 8, 8, 8, 8.

    Nineteen 3×3 convolutions with bias, each with ReLU, and a BatchNorm behind the last ReLU of each block,
    as in the release. There is no pooling: the last convolution of the first three blocks has stride 2, and
    conv5 and conv6 are dilated by 2. Every stage's map is ⌈H / stride⌉ × ⌈W / stride⌉. Block 8, which
    upsamples and predicts colours, belongs to the task (`pretext.tasks.block8`).

    Convolutions start from He's normal distribution by fan-in (arXiv:1502.01852), biases from zero; the paper
    starts from the data-dependent initialisation of arXiv:1511.06856, a step of its own.

    Args:
        in_channels: channels of the input map: 1 in the paper, L − 50 undivided.
        affine: whether BatchNorm has scale and shift: not in the original, but in the authors' later port.
    """

    def __init__(self, in_channels: int, affine: bool = False) -> None:
        stages, blocks = [], []
        before, total = in_channels, 1
        for block in BLOCKS:
            total *= block.stride
            stages.append(Stage(block.name, block.channels, total))
            blocks.append(_layers(before, block, affine))
            before = block.channels
        super().__init__(in_channels, stages, blocks, {"affine": bool(affine)})


def _layers(in_channels: int, block: _Block, affine: bool) -> nn.Module:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(1, block.convolutions + 1):
        stride = block.stride if i == block.convolutions else 1
        conv = nn.Conv2d(in_channels, block.channels, 3, stride, block.dilation, block.dilation)
        nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        parts[f"conv{i}"], parts[f"relu{i}"] = conv, nn.ReLU(inplace=True)
        in_channels = block.channels
    parts["norm"] = nn.BatchNorm2d(block.channels, affine=affine)
    return nn.Sequential(parts)
