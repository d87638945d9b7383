"""ResNet-18 (arXiv:1512.03385) from torchvision's blocks, by stage."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from pretext.backbones.base import Backbone, Stage

WIDTHS = (64, 128, 256, 512)


class ResNet18(Backbone):
    """Stages stem, layer1 … layer4 with strides 2, 4, 8, 16, 32, or 1, 1, 2, 4, 8 with the small stem.

    The stem's max-pool opens layer1, so that the stem is read before pooling, as published probes read conv1
    (112² at 224 px). Every stage's map is ⌈H / stride⌉ × ⌈W / stride⌉. Parameters and BatchNorm buffers carry
    torchvision's names behind `blocks.` (`blocks.stem.` for conv1 and bn1). Convolutions start from He's
    normal distribution by fan-out (arXiv:1502.01852), BatchNorm from one and zero.

    Args:
        in_channels: channels of the input map.
        small_stem: for images up to about 64 px: a 3×3 convolution of stride 1 and no pool.
    """

    def __init__(self, in_channels: int, small_stem: bool = False) -> None:
        stem_stride, pool_stride = (1, 1) if small_stem else (2, 2)
        stages = [Stage("stem", WIDTHS[0], stem_stride)]
        blocks: list[nn.Module] = [_stem(in_channels, small_stem)]
        before, total = WIDTHS[0], stem_stride * pool_stride
        for i, width in enumerate(WIDTHS):
            stride = 1 if i == 0 else 2
            total *= stride
            stages.append(Stage(f"layer{i + 1}", width, total))
            blocks.append(_layer(before, width, stride, pool=i == 0 and not small_stem))
            before = width
        super().__init__(in_channels, stages, blocks, {"small_stem": bool(small_stem)})
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _stem(in_channels: int, small: bool) -> nn.Module:
    kernel, stride = (3, 1) if small else (7, 2)
    conv = nn.Conv2d(in_channels, WIDTHS[0], kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv1=conv, bn1=nn.BatchNorm2d(WIDTHS[0]), relu=nn.ReLU(inplace=True)))


def _layer(before: int, width: int, stride: int, pool: bool) -> nn.Module:
    downsample: nn.Module | None = None
    if stride != 1 or before != width:
        downsample = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if pool:
        parts["maxpool"] = nn.MaxPool2d(3, 2, padding=1)
    parts["0"] = BasicBlock(before, width, stride, downsample)
    parts["1"] = BasicBlock(width, width)
    return nn.Sequential(parts)


def to_torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a `ResNet18`'s state dict to that of `torchvision.models.resnet18`, which has `fc` besides."""
    return {name.removeprefix("blocks.").removeprefix("stem."): value for name, value in state.items()}


def from_torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of `torchvision.models.resnet18` to `ResNet18`'s; other names stay (`fc.…`)."""
    return {_own_name(name): value for name, value in state.items()}


def _own_name(name: str) -> str:
    if name.startswith(("conv1.", "bn1.")):
        return f"blocks.stem.{name}"
    return f"blocks.{name}" if name.startswith("layer") else name
