"""Any network of timm that is a row of modules, cut into its stages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import timm
from timm.layers.format import Format
from timm.models._features import FeatureDictNet
from torch import Tensor, nn

from pretext.backbones.base import MapBackbone, Stage


class TimmNet(MapBackbone):
    """A network by its name in timm, with random weights; stages carry timm's names of their last module.

    What timm lists as the network's feature levels are the stages, with the channels and strides that it
    states: stem and layer1 … layer4 of a ResNet (`act1` for the stem), stages_0 … stages_3 of a ConvNeXt.
    Networks whose levels timm reads by hooks cannot be cut into blocks that run in a row (EfficientNets,
    transformers among them): they are refused. `pretext.backbones.timm_whole` runs them, as a whole.

    Nothing is downloaded. Weights at hand go through `read_state_dict`, `from_timm_names` and
    `from_state_dict`.

    Args:
        in_channels: channels of the input map.
        model: one of `timm.list_models()`, without the tag of any weights.

    Raises:
        ValueError: a name that timm does not have, or a network that cannot be cut.
    """

    def __init__(self, in_channels: int, model: str) -> None:
        check_name(model)
        try:
            network = timm.create_model(model, pretrained=False, features_only=True, in_chans=in_channels)
        except (RuntimeError, AttributeError, AssertionError) as error:
            raise ValueError(f"timm gives no feature levels of {model!r}: {error}") from error
        if not isinstance(network, FeatureDictNet) or network.output_fmt != Format.NCHW or network.concat:
            raise ValueError(
                f"{model!r} cannot be cut into stages: timm reads its levels by {type(network).__name__}, "
                "not from modules in a row; pretext.backbones.timm_whole runs it whole (backbone=timm_whole)"
            )
        info = network.feature_info
        ends = list(network.return_layers)
        stages = [
            Stage(name, channels, stride)
            for name, channels, stride in zip(ends, info.channels(), info.reduction(), strict=True)
        ]
        blocks, parts = [], OrderedDict[str, nn.Module]()
        for name, module in network.items():
            parts[name] = module
            if name in ends:
                blocks.append(nn.Sequential(parts))
                parts = OrderedDict()
        super().__init__(in_channels, stages, blocks, {"model": model})


def check_name(model: str) -> None:
    """Refuse a name that is not on timm's own list.

    A saved encoder may come from anywhere: a name with a source in it would be fetched from there.

    Raises:
        ValueError: as said.
    """
    if model not in timm.list_models():
        raise ValueError(f"timm {timm.__version__} has no model {model!r} of its own; see timm.list_models()")


def from_timm_names(network: TimmNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of the whole timm model to this network's; names of its head stay."""
    holders = {
        module: stage for stage in network.stage_names for module, _ in network.blocks[stage].named_children()
    }
    renamed = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        second, _, inner = rest.partition(".")
        if first in holders:
            renamed[f"blocks.{holders[first]}.{first}.{rest}"] = value
        elif f"{first}_{second}" in holders:  # timm flattens one level of containers
            renamed[f"blocks.{holders[f'{first}_{second}']}.{first}_{second}.{inner}"] = value
        else:
            renamed[name] = value
    return renamed
