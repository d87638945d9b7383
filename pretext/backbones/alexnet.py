"""AlexNet as representation learning uses it: no LRN, BatchNorm, convolutional throughout."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from torch import nn

from pretext.backbones.base import MapBackbone, Stage


class _Layer(NamedTuple):
    name: str
    channels: int
    kernel: int
    padding: int
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    pool: int = 0  # stride of the 3×3 max-pool in front of the convolution; 0: none


CONVOLUTIONS = (
    _Layer("conv1", 96, kernel=11, padding=5, stride=4),
    _Layer("conv2", 256, kernel=5, padding=2, groups=2, pool=2),
    _Layer("conv3", 384, kernel=3, padding=1, pool=2),
    _Layer("conv4", 384, kernel=3, padding=1, groups=2),
    _Layer("conv5", 256, kernel=3, padding=1, groups=2),
)
FULLY_CONNECTED = (
    _Layer("fc6", 4096, kernel=6, padding=5, dilation=2, pool=1),
    _Layer("fc7", 4096, kernel=1, padding=0),
)


class AlexNet(MapBackbone):
    """The network of colorization (arXiv:1603.08511) and split-brain (arXiv:1611.09842) for representations.

    Against the classification network: LRN is gone; BatchNorm without scale and shift stands between every
    convolution and its ReLU; conv1 and the pools are padded; fc6 and fc7 are convolutions (6×6 with dilation
    2, 1×1) that keep the map's size, without dropout. A bias in front of such a BatchNorm would cancel out:
    there is none.

    Each max-pool (3×3) opens the stage behind it, so that stage conv_k is the map *before* pooling. That is
    what the published probes read: unpadded, 227 px make maps of 55², 27², 13², which the poolings (19, 4),
    (12, 3), (9, 1) of Goyal et al. (arXiv:1905.01235) turn into 10², 6², 5². With the padding they are 57²,
    29², 15². Every stage's map is ⌈H / stride⌉ × ⌈W / stride⌉, with strides 4, 8, 16, 16, 16, and 16 for fc6
    and fc7, whose pool has stride 1.

    Convolutions start from He's normal distribution by fan-in (arXiv:1502.01852); the data-dependent
    initialisation of arXiv:1511.06856 is a step of its own.

    Args:
        in_channels: channels of the input map.
        fully_connected: whether fc6 and fc7 follow conv5.
        batchnorm: False for convolutions with bias instead, into which BatchNorm has been taken
            (`pretext.backbones.calibration`).
    """

    def __init__(self, in_channels: int, fully_connected: bool = False, batchnorm: bool = True) -> None:
        layers = CONVOLUTIONS + FULLY_CONNECTED if fully_connected else CONVOLUTIONS
        stages, blocks = [], []
        before, total = in_channels, 1
        for layer in layers:
            total *= layer.stride * max(layer.pool, 1)
            stages.append(Stage(layer.name, layer.channels, total))
            blocks.append(_block(before, layer, batchnorm))
            before = layer.channels
        # Named where it is off alone: saved encoders and finished runs are compared by their arguments.
        arguments: dict[str, object] = {"fully_connected": bool(fully_connected)}
        if not batchnorm:
            arguments["batchnorm"] = False
        super().__init__(in_channels, stages, blocks, arguments)


def _block(in_channels: int, layer: _Layer, batchnorm: bool) -> nn.Module:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if layer.pool:
        parts["pool"] = nn.MaxPool2d(3, layer.pool, padding=1)
    conv = nn.Conv2d(
        in_channels,
        layer.channels,
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias=not batchnorm,
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    parts["conv"] = conv
    if batchnorm:
        parts["norm"] = nn.BatchNorm2d(layer.channels, affine=False)
    parts["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(parts)
