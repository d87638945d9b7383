"""Network in Network (arXiv:1312.4400) as RotNet trains it (Gidaris et al. 2018, arXiv:1803.07728)."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from pretext.backbones.base import MapBackbone, Stage

WIDTH = 192


class NetworkInNetwork(MapBackbone):
    """Four blocks of three convolutions: 5×5, 5×5, 3×3 and 3×3, each with two of 1×1 behind it.

    Each convolution has BatchNorm and ReLU. A max-pool ends conv1, a mean-pool conv2, both of 3×3 cells and
    stride 2, so that strides are 2, 4, 4, 4; channels are 96, 192, 192, 192. Every stage's map is
    ⌈H / stride⌉ × ⌈W / stride⌉. Convolutions start from He's normal distribution by fan-out
    (arXiv:1502.01852), as released.

    Args:
        in_channels: channels of the input map.
    """

    def __init__(self, in_channels: int) -> None:
        pools = nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, padding=1)
        blocks = [
            _block([in_channels, WIDTH, 160, 96], 5, pools[0]),
            _block([96, WIDTH, WIDTH, WIDTH], 5, pools[1]),
            _block([WIDTH] * 4, 3),
            _block([WIDTH] * 4, 3),
        ]
        stages = [Stage("conv1", 96, 2), *(Stage(f"conv{i}", WIDTH, 4) for i in (2, 3, 4))]
        super().__init__(in_channels, stages, blocks, {})


def _block(widths: list[int], kernel: int, pool: nn.Module | None = None) -> nn.Module:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(pairwise(widths)):
        side = kernel if i == 0 else 1
        conv = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        parts |= {f"conv{i}": conv, f"norm{i}": nn.BatchNorm2d(after), f"relu{i}": nn.ReLU(inplace=True)}
    if pool is not None:
        parts["pool"] = pool
    return nn.Sequential(parts)
