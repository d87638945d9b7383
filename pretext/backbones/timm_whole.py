"""Any network of timm that offers intermediate features, run as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.layers.format import Format
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones.base import CLASS_TOKEN, Features, Stage
from pretext.backbones.timm_net import check_name
from pretext.backbones.undivided import Undivided

HEAD = "head"
"""The stage behind the last level where a network goes on to features of another width (EfficientNets)."""


class TimmWhole(Undivided):
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
        info = list(getattr(network, "feature_info", ()))
        if not info or not hasattr(network, "forward_intermediates"):
            raise ValueError(f"timm offers no intermediate features of {model!r}")
        every = _levels_a_stage(model, info, every)
        levels = list(range(len(info) - 1, -1, -every))[::-1]
        stages = [
            Stage(
                str(info[i]["module"]).replace(".", "_"), int(info[i]["num_chs"]), int(info[i]["reduction"])
            )
            for i in levels
        ]
        if _goes_on(network, info[-1]):
            stages.append(Stage(HEAD, int(network.num_features), stages[-1].stride))
        # Named where they are asked for alone: saved encoders and finished runs are compared by arguments.
        arguments: dict[str, object] = {"model": model}
        arguments |= {} if every == _levels_a_stage(model, info, None) else {"every": every}
        arguments |= {} if image_size is None else {"image_size": image_size}
        super().__init__(in_channels, stages, arguments)
        self.network = network
        self._levels = levels
        self._own_size = _own_size(network, model, image_size)

    @property
    def title(self) -> str:
        """The network's name."""
        return f"timm's {self.arguments['model']}"

    @property
    def has_class_token(self) -> bool:
        """Whether `last_tokens` has a class token to give."""
        takes = inspect.signature(self.network.forward_intermediates).parameters
        return _class_token(self.network) is not None and "return_prefix_tokens" in takes

    def run(self, x: Tensor, last: int) -> Features:
        """Run images (B, in_channels, H, W) up to the stage of that position.

        Raises:
            ValueError: images of a size that the network does not take.
        """
        whole = last == len(self.stages) - 1
        levels = self._levels[: last + 1]
        found = self._intermediates(x, indices=levels, stop_early=not whole, intermediates_only=not whole)
        final, maps = found if whole else (None, found)
        named = {name: m.contiguous() for name, m in zip(self.stage_names, maps, strict=False)}
        if not isinstance(final, Tensor):  # several branches without one end
            return Features(named, {})
        state, vectors = self._end(final, maps[-1])
        if state is not None and state.shape[1] == self.stages[-1].channels:
            named[self.stage_names[-1]] = state
        return Features(named, vectors)

    def last_tokens(self, x: Tensor, count: int) -> list[Tensor]:
        """Class token and patches behind each of the last `count` blocks; see `Backbone.last_tokens`."""
        if not self.has_class_token:
            return super().last_tokens(x, count)
        if not 1 <= count <= len(self.network.feature_info):
            raise ValueError(
                f"{self.title} has {len(self.network.feature_info)} blocks, got the last {count}"
            )
        found = self._intermediates(
            x, indices=count, norm=True, intermediates_only=True, return_prefix_tokens=True
        )
        return [torch.cat([prefix[:, :1], m.flatten(2).transpose(1, 2)], 1) for m, prefix in found]

    def layers(self) -> list[list[nn.Module]]:
        """Return what timm groups as layers, the image's embedding first; the head is in none."""
        matcher = getattr(self.network, "group_matcher", None)
        if matcher is None:
            return [[self.network]]
        named = dict(self.network.named_parameters())
        groups: Mapping[int, list[str]] = group_parameters(self.network, matcher(coarse=False))
        return [[nn.ParameterList([named[n] for n in groups[i] if n in named])] for i in sorted(groups)]

    def _intermediates(self, x: Tensor, **options: Any) -> Any:
        height, width = x.shape[-2:]
        down, right = (-side % patch for side, patch in zip((height, width), self._patch(), strict=True))
        try:
            return self.network.forward_intermediates(
                F.pad(x, (0, right, 0, down)), output_fmt="NCHW", **options
            )
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, RuntimeError, ValueError, IndexError) as error:
            if (height, width) == self._own_size:
                raise
            own = "×".join(map(str, self._own_size))
            raise ValueError(
                f"{self.title} is made for images of {own} pixels and takes none of {height}×{width}: "
                f"{error}; where it has an image_size, build it with that"
            ) from error

    def _patch(self) -> tuple[int, int]:
        patch = getattr(getattr(self.network, "patch_embed", None), "patch_size", 1)
        return (patch, patch) if isinstance(patch, int) else (int(patch[0]), int(patch[1]))

    def _end(self, final: Tensor, last: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """The map of the final features where they have one, and the class token behind them.

        Args:
            final: what `forward_features` gives. last: the last level, (B, C, h, w).
        """
        if final.ndim == 4:
            nhwc = getattr(self.network, "output_fmt", Format.NCHW) == Format.NHWC
            return (final.permute(0, 3, 1, 2).contiguous() if nhwc else final), {}
        if final.ndim != 3:
            return None, {}
        height, width = last.shape[-2:]
        others = final.shape[1] - height * width  # tokens that are no patches, in front; or none are patches
        vectors = {CLASS_TOKEN: final[:, 0]} if others and _class_token(self.network) is not None else {}
        if others < 0 or hasattr(self.network, "reroll"):  # Hiera's tokens do not lie row by row
            return None, vectors
        patches = final[:, others:].transpose(1, 2)
        return patches.reshape(len(final), -1, height, width).contiguous(), vectors


def _built(model: str, in_channels: int, image_size: int | None) -> Any:
    """The network without its classifier, for images of any size where timm has that."""
    asked: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    tried: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {})
    for options in tried:
        try:
            network = timm.create_model(model, pretrained=False, in_chans=in_channels, **asked, **options)
            break
        except TypeError as error:
            if "unexpected keyword argument" not in str(error) or not options:
                raise ValueError(f"timm's {model} cannot be built from {asked}: {error}") from error
    _behead(network)
    return network


def _behead(network: Any) -> None:
    """Take off what turns features into classes; what is left is what makes the features."""
    if hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
    for name in ("attn_pool", "fc_norm"):  # of the pooled vector, which is not a stage
        if isinstance(getattr(network, name, None), nn.Module):
            setattr(network, name, None if name == "attn_pool" else nn.Identity())


def _levels_a_stage(model: str, info: list[dict[str, Any]], every: int | None) -> int:
    count = len(info)
    alike = len({(level["num_chs"], level["reduction"]) for level in info}) == 1
    if every is None:
        return count // 4 if count > 6 and alike and count % 4 == 0 else 1
    if every < 1 or count % every:
        raise ValueError(f"timm's {model} has {count} levels, which every={every} does not divide")
    return every


def _goes_on(network: Any, level: Mapping[str, Any]) -> bool:
    """Whether `forward_features` ends in more than the last level: an EfficientNet's last convolution."""
    return hasattr(network, "conv_head") and int(network.num_features) != int(level["num_chs"])


def _class_token(network: Any) -> Tensor | None:
    token = getattr(network, "cls_token", None)
    return token if isinstance(token, Tensor) else None


def _own_size(network: Any, model: str, image_size: int | None) -> tuple[int, int]:
    if image_size is not None:
        return image_size, image_size
    _, height, width = network.pretrained_cfg["input_size"]
    return int(height), int(width)


def from_timm_whole(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of the whole timm model to a `TimmWhole`'s; names of its head stay among them."""
    return {f"network.{name}": value for name, value in state.items()}
