"""The networks, each an ordered dictionary of named stages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module

from pretext.backbones.alexnet import AlexNet
from pretext.backbones.base import CLASS_TOKEN, Backbone, Features, MapBackbone, Stage, TokenBackbone, Tokens
from pretext.backbones.colornet import ColorNet
from pretext.backbones.nin import NetworkInNetwork
from pretext.backbones.resnet import ResNet18, ResNet50
from pretext.backbones.small import SmallNet
from pretext.backbones.undivided import Undivided
from pretext.classes import at_hand

__all__ = [
    "CLASS_TOKEN",
    "AlexNet",
    "Backbone",
    "ColorNet",
    "Features",
    "MapBackbone",
    "NetworkInNetwork",
    "ResNet18",
    "ResNet50",
    "SmallNet",
    "Stage",
    "TokenBackbone",
    "Tokens",
    "Undivided",
    "build",
    "class_path",
    "resolve",
]

CONTRACTS = (Backbone, MapBackbone, TokenBackbone, Undivided)
LISTED: tuple[type[Backbone], ...] = (AlexNet, ColorNet, NetworkInNetwork, ResNet18, ResNet50, SmallNet)
"""The networks that cost no more to import than torchvision."""

OTHERS = (
    "pretext.backbones.side_by_side.SideBySide",
    "pretext.backbones.timm_net.TimmNet",
    "pretext.backbones.timm_vit.TimmVit",
    "pretext.backbones.timm_whole.TimmWhole",
    "pretext.backbones.transformers_net.TransformersNet",
    "pretext.backbones.vit.VisionTransformer",
)
"""Those made of the others, and those that need timm, which is imported with the first of them."""

BASES = ("pretext.backbones.timm_levels.TimmLevels",)
"""What networks share, and is none."""


def class_path(kind: type[Backbone]) -> str:
    """Return the path under which `resolve` finds a backbone class again."""
    return f"{kind.__module__}.{kind.__qualname__}"


def resolve(path: str) -> type[Backbone]:
    """Return the backbone class of that path, `pretext.backbones.<module>.<Class>`.

    The path may come from a file of unknown origin, so nothing outside this package is imported; a class of
    one's own is returned where its module is imported already.

    Raises:
        ValueError: a path outside this package, or no concrete backbone class.
    """
    known = ", ".join((*map(class_path, LISTED), *OTHERS))
    refusal = f"{path!r} is no backbone class of pretext.backbones, nor one at hand; it has: {known}"
    if (own := at_hand(path, Backbone)) is not None:
        return own
    match = re.fullmatch(r"pretext\.backbones\.([a-z0-9_]+)\.([A-Za-z0-9_]+)", path, flags=re.ASCII)
    if match is None:
        raise ValueError(refusal)
    try:
        kind = getattr(import_module(f"pretext.backbones.{match[1]}"), match[2], None)
    except ModuleNotFoundError as error:
        raise ValueError(refusal) from error
    if not (isinstance(kind, type) and issubclass(kind, Backbone)) or kind in CONTRACTS or path in BASES:
        raise ValueError(refusal)
    if class_path(kind) != path:  # at home elsewhere, only imported there
        raise ValueError(refusal)
    return kind


def build(path: str, arguments: Mapping[str, object], in_channels: int) -> Backbone:
    """Build the backbone class of that path from plain arguments.

    Raises:
        ValueError: a class that `resolve` refuses, or arguments that the class does not take.
    """
    constructor: Callable[..., Backbone] = resolve(path)  # each kind takes arguments of its own
    try:
        return constructor(in_channels=in_channels, **arguments)
    except TypeError as error:
        raise ValueError(f"{path} cannot be built from {dict(arguments)}: {error}") from error
