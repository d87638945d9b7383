"""ResNet-18 and ResNet-50 (arXiv:1512.03385) from torchvision's blocks, by stage."""

from __future__ import annotations

from abc import ABC
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from pretext.backbones.base import MapBackbone, Stage

WIDTHS = (64, 128, 256, 512)


class ResNet(MapBackbone, ABC):
    """Stages stem, layer1 … layer4 with strides 2, 4, 8, 16, 32, or 1, 1, 2, 4, 8 with the small stem.

    The stem's max-pool opens layer1, so that the stem is read before pooling, as published probes read conv1
    (112² at 224 px). Every stage's map is ⌈H / stride⌉ × ⌈W / stride⌉. Parameters and BatchNorm buffers carry
    torchvision's names behind `blocks.` (`blocks.stem.` for conv1 and bn1). Convolutions start from He's
    normal distribution by fan-out (arXiv:1502.01852), BatchNorm from one and zero.

    Args:
        in_channels: channels of the input map.
        kind: torchvision's residual block.
        depths: blocks of each of the four layers.
        small_stem: for images up to about 64 px: a 3×3 convolution of stride 1 and no pool.
        stem_padding: of the first convolution, half its kernel without it. Some released networks for small
            images pad by 2; then every map is that of an image two pixels larger.
    """

    def __init__(
        self,
        in_channels: int,
        kind: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        small_stem: bool,
        stem_padding: int | None = None,
    ) -> None:
        stem_stride, pool_stride = (1, 1) if small_stem else (2, 2)
        stages = [Stage("stem", WIDTHS[0], stem_stride)]
        blocks: list[nn.Module] = [_stem(in_channels, small_stem, stem_padding)]
        before, total = WIDTHS[0], stem_stride * pool_stride
        for i, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True)):
            stride = 1 if i == 0 else 2
            total *= stride
            out = width * kind.expansion
            stages.append(Stage(f"layer{i + 1}", out, total))
            blocks.append(_layer(kind, before, width, depth, stride, pool=i == 0 and not small_stem))
            before = out
        # Named where it is asked for alone: saved encoders and finished runs are compared by their arguments.
        arguments: dict[str, object] = {"small_stem": bool(small_stem)}
        if stem_padding is not None:
            arguments["stem_padding"] = stem_padding
        super().__init__(in_channels, stages, blocks, arguments)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet18(ResNet):
    """Two basic blocks a layer: 64, 128, 256, 512 channels, 11.2 M parameters.

    Args:
        in_channels, small_stem, stem_padding: as in `ResNet`.
    """

    def __init__(self, in_channels: int, small_stem: bool = False, stem_padding: int | None = None) -> None:
        super().__init__(in_channels, BasicBlock, (2, 2, 2, 2), small_stem, stem_padding)


class ResNet50(ResNet):
    """3, 4, 6, 3 bottlenecks: 256, 512, 1024, 2048 channels, 23.5 M parameters.

    The stride sits in the 3×3 convolution of a bottleneck, as torchvision has it ("v1.5"), not in the first
    1×1 as in the paper.

    Args:
        in_channels, small_stem, stem_padding: as in `ResNet`.
    """

    def __init__(self, in_channels: int, small_stem: bool = False, stem_padding: int | None = None) -> None:
        super().__init__(in_channels, Bottleneck, (3, 4, 6, 3), small_stem, stem_padding)


def _stem(in_channels: int, small: bool, padding: int | None) -> nn.Module:
    kernel, stride = (3, 1) if small else (7, 2)
    padding = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(in_channels, WIDTHS[0], kernel, stride, padding, bias=False)
    return nn.Sequential(OrderedDict(conv1=conv, bn1=nn.BatchNorm2d(WIDTHS[0]), relu=nn.ReLU(inplace=True)))


def _layer(
    kind: type[BasicBlock] | type[Bottleneck], before: int, width: int, depth: int, stride: int, pool: bool
) -> nn.Module:
    out = width * kind.expansion
    downsample: nn.Module | None = None
    if stride != 1 or before != out:
        downsample = nn.Sequential(nn.Conv2d(before, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if pool:
        parts["maxpool"] = nn.MaxPool2d(3, 2, padding=1)
    parts["0"] = kind(before, width, stride, downsample)
    for i in range(1, depth):
        parts[str(i)] = kind(out, width)
    return nn.Sequential(parts)


def to_torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a `ResNet`'s state dict to that of torchvision's of its depth, which has `fc` besides."""
    return {name.removeprefix("blocks.").removeprefix("stem."): value for name, value in state.items()}


def from_torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of torchvision's ResNet to `ResNet`'s; other names stay (`fc.…`)."""
    return {_own_name(name): value for name, value in state.items()}


def _own_name(name: str) -> str:
    if name.startswith(("conv1.", "bn1.")):
        return f"blocks.stem.{name}"
    return f"blocks.{name}" if name.startswith("layer") else name
