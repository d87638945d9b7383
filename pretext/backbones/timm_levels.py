"""A network of timm's classes, read at its intermediate features."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.layers.format import Format
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones.base import CLASS_TOKEN, Features, Stage
from pretext.backbones.undivided import Undivided

HEAD = "head"
"""The stage behind the last level where a network goes on to features of another width (EfficientNets)."""


class TimmLevels(Undivided, ABC):
    """What `forward_intermediates` of a network of timm's gives, as stages; see `TimmWhole`.

    Args:
        in_channels, arguments: as in `Backbone`.
        network: of one of timm's classes; it loses its classifier.
        title: what errors call it.
        every: levels a stage; see `TimmWhole`.

    Raises:
        ValueError: levels that `every` does not divide, or none.
    """

    def __init__(
        self,
        in_channels: int,
        network: Any,
        title: str,
        every: int | None,
        arguments: dict[str, object],
    ) -> None:
        info = list(getattr(network, "feature_info", ()))
        if not info or not hasattr(network, "forward_intermediates"):
            raise ValueError(f"{title} has no intermediate features")
        own = levels_a_stage(info)
        every = own if every is None else every
        if every < 1 or len(info) % every:
            raise ValueError(f"{title} has {len(info)} levels, which every={every} does not divide")
        # Named where it is asked for alone: saved encoders and finished runs are compared by arguments.
        arguments = arguments | ({} if every == own else {"every": every})
        levels = list(range(len(info) - 1, -1, -every))[::-1]
        _behead(network, info[-1])
        super().__init__(in_channels, _stages(network, [info[i] for i in levels]), arguments)
        self.network = network
        self._title, self._levels = title, levels

    @property
    @abstractmethod
    def own_size(self) -> tuple[int, int]:
        """(H, W) of the images that it is made for."""

    @property
    def title(self) -> str:
        """What errors call the network."""
        return self._title

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
            if (height, width) == self.own_size:
                raise
            own = "×".join(map(str, self.own_size))
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


def _behead(network: Any, level: Mapping[str, Any]) -> None:
    """Take off what turns features into classes; what is left is what makes the features."""
    if hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
    behind = (
        "attn_pool",
        "fc_norm",
        "head",
        *(() if _goes_on(network, level) else ("conv_head", "norm_head")),
    )
    for name in behind:  # of the pooled vector, which is not a stage
        if isinstance(getattr(network, name, None), nn.Module):
            setattr(network, name, None if name == "attn_pool" else nn.Identity())


def levels_a_stage(info: Sequence[Mapping[str, Any]]) -> int:
    """A quarter of the levels where there are more than six, all alike, that divide by four; else one."""
    alike = len({(level["num_chs"], level["reduction"]) for level in info}) == 1
    return len(info) // 4 if len(info) > 6 and alike and len(info) % 4 == 0 else 1


def _stages(network: Any, levels: Sequence[Mapping[str, Any]]) -> list[Stage]:
    """Stages by the names of their last modules; a name that several branches share is numbered."""
    names = [str(level["module"]).replace(".", "_") for level in levels]
    stages = []
    for i, (name, level) in enumerate(zip(names, levels, strict=True)):
        number = f"_{1 + names[:i].count(name)}" if names.count(name) > 1 else ""
        stages.append(Stage(name + number, int(level["num_chs"]), int(level["reduction"])))
    if _goes_on(network, levels[-1]):
        stages.append(Stage(HEAD, int(network.num_features), stages[-1].stride))
    return stages


def _goes_on(network: Any, level: Mapping[str, Any]) -> bool:
    """Whether `forward_features` ends in more than the last level: an EfficientNet's last convolution."""
    return hasattr(network, "conv_head") and int(network.num_features) != int(level["num_chs"])


def _class_token(network: Any) -> Tensor | None:
    token = getattr(network, "cls_token", None)
    return token if isinstance(token, Tensor) else None
