"""Any network of timm that offers intermediate features, run as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from torch import Tensor

from pretext.backbones.timm_levels import TimmLevels
from pretext.backbones.timm_net import check_name


class TimmWhole(TimmLevels):
    """A network by its name in timm, with random weights; stages are timm's intermediate features.

    Stages carry timm's names of their last modules: blocks_2, blocks_5, … of a Vision Transformer (BEiT,
    DINOv2 and DINOv3, CLIP's and SigLIP's towers), layers_0 … layers_3 of a Swin, blocks_0_0 … of an
    EfficientNet. The last stage's map is that of timm's `forward_features`, behind a final norm where there
    is one; where these features are wider than the last level, they are a stage `head` of their own. A class
    token behind the final norm is the vector `cls`; register and distillation tokens are read by nobody.

    Images are padded with zeros at the right and the bottom to whole patches. Position embeddings are
    resampled to their grid where timm does so; elsewhere the network takes images of one size alone.

    Nothing is downloaded. Weights at hand go through `read_state_dict`, `from_timm_whole` and
    `from_state_dict`.

    Args:
        in_channels: channels of the input map.
        model: one of `timm.list_models()`, without the tag of any weights.
        every: levels a stage. Without it every level, but of a row of more than six that are all alike (the
            blocks of a transformer) a quarter, where they divide by four.
        image_size: side in pixels of the images that positions and windows are made for, where the network
            takes one; without it timm's own.

    Raises:
        ValueError: a name that timm does not have, a network without intermediate features, or one that does
            not take an argument.
    """

    def __init__(
        self, in_channels: int, model: str, every: int | None = None, image_size: int | None = None
    ) -> None:
        check_name(model)
        network = _built(model, in_channels, image_size)
        # Named where it is asked for alone: saved encoders and finished runs are compared by arguments.
        arguments: dict[str, object] = {"model": model} | (
            {} if image_size is None else {"image_size": image_size}
        )
        super().__init__(in_channels, network, f"timm's {model}", every, arguments)

    @property
    def own_size(self) -> tuple[int, int]:
        """(H, W) of the images that it is made for: as it was asked for, or timm's own."""
        asked: Any = self.arguments.get("image_size")
        _, height, width = (0, asked, asked) if asked else self.network.pretrained_cfg["input_size"]
        return int(height), int(width)


def _built(model: str, in_channels: int, image_size: int | None) -> Any:
    """The network, for images of any size where timm has that."""
    asked: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    tried: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {})
    for options in tried:
        try:
            network = timm.create_model(model, pretrained=False, in_chans=in_channels, **asked, **options)
            break
        except TypeError as error:
            if "unexpected keyword argument" not in str(error) or not options:
                raise ValueError(f"timm's {model} cannot be built from {asked}: {error}") from error
    return network


def from_timm_whole(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of the whole timm model to a `TimmWhole`'s; names of its head stay among them."""
    return {f"network.{name}": value for name, value in state.items()}
