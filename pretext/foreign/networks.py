"""Which of the suite's networks a state dict belongs to, told by its names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor

from pretext.backbones import Backbone, ResNet18, ResNet50
from pretext.backbones.resnet import from_torchvision_names
from pretext.backbones.timm_vit import TimmVit
from pretext.backbones.vit import VisionTransformer, from_timm_names
from pretext.encoder.weights import some
from pretext.foreign.dinov3 import dinov3
from pretext.foreign.layouts import Layout, State

RESNETS: dict[tuple[str, tuple[int, ...]], type[ResNet18] | type[ResNet50]] = {
    ("basic", (2, 2, 2, 2)): ResNet18,
    ("bottleneck", (3, 4, 6, 3)): ResNet50,
}
"""By kind of block and blocks a layer."""


def network_of(
    state: Mapping[str, Tensor], layout: Layout, arguments: Mapping[str, object]
) -> tuple[Backbone, State]:
    """Build the network that a backbone's state dict is of, and rename the state dict to the network's.

    Args:
        state: under torchvision's names (ResNets) or timm's (Vision Transformers).
        arguments: of the network, where weights do not tell them; they overrule what the layout says.

    Raises:
        ValueError: a network that the suite does not have; the message says what it has.
    """
    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not shift anybody's draws
        if "conv1.weight" in state:
            return _resnet(state, layout, dict(arguments))
        if "patch_embed.proj.weight" in state:
            return _vision_transformer(state, layout, dict(arguments))
    raise ValueError(
        "the backbone is neither a ResNet (conv1.weight) nor a Vision Transformer "
        f"(patch_embed.proj.weight); its first keys are: {some(list(state), 8) or 'none'}"
    )


def _resnet(
    state: Mapping[str, Tensor], layout: Layout, arguments: dict[str, object]
) -> tuple[Backbone, State]:
    depths = tuple(_count(state, rf"layer{i}\.(\d+)\.") for i in range(1, 5))
    kind = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    if (kind, depths) not in RESNETS:
        known = ", ".join(f"{c.__name__} ({k}, {d})" for (k, d), c in RESNETS.items())
        raise ValueError(f"a ResNet of {kind} blocks {depths} is not among the networks: {known}")
    stem = _shape(state, "conv1.weight", 4)
    small = stem[2:] == (3, 3)
    if not small and stem[2:] != (7, 7):
        raise ValueError(
            f"conv1.weight is {stem}; a ResNet's first convolution is 7×7, or 3×3 for small images"
        )
    if small and layout.stem_padding != 1:
        arguments.setdefault("stem_padding", layout.stem_padding)
    network = _built(RESNETS[kind, depths], stem[1], {"small_stem": small} | arguments)
    return network, from_torchvision_names(state)


def _vision_transformer(
    state: Mapping[str, Tensor], layout: Layout, arguments: dict[str, object]
) -> tuple[Backbone, State]:
    if "storage_tokens" in state:
        return dinov3(state, arguments)
    state = {re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name): x for name, x in state.items()}
    if MORE & {re.sub(r"^blocks\.\d+\.", "", name) for name in state} or "cls_token" not in state:
        return released(state, layout, arguments)
    width, channels, patch, other = _shape(state, "patch_embed.proj.weight", 4)
    _, tokens, _ = _shape(state, "pos_embed", 3)
    side = isqrt(tokens - 1)
    if patch != other or side**2 != tokens - 1:
        raise ValueError(
            f"a Vision Transformer of {patch}×{other} patches and {tokens} position embeddings is none of "
            "square patches, a square image and one class token"
        )
    depth = _count(state, r"blocks\.(\d+)\.")
    if "heads" not in arguments:
        arguments["heads"] = _heads(state, layout, width)
    shape = {
        "image_size": side * patch, "patch_size": patch, "width": width, "depth": depth,
        "every": depth // 4 if depth % 4 == 0 else 1,
    }  # fmt: skip
    network = _built(VisionTransformer, channels, shape | arguments)
    assert isinstance(network, VisionTransformer)
    return network, from_timm_names(network, state)


MORE = {
    "ls1.gamma", "register_tokens", "reg_token", "norm_pre.weight", "mlp.w12.weight",
}  # fmt: skip
"""Entries that a plain Vision Transformer lacks."""


def released(
    state: Mapping[str, Tensor], layout: Layout, arguments: dict[str, object]
) -> tuple[Backbone, State]:
    """A Vision Transformer with LayerScale, registers, gates, a norm in front, or without a class token.

    Raises:
        ValueError: sizes that are not square, heads or an activation that have to be said.
    """
    own = {_RELEASED.get(name, name): value for name, value in state.items()}
    own = {
        name.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2."): x for name, x in own.items()
    }
    width, channels, patch, other = _shape(own, "patch_embed.proj.weight", 4)
    _, tokens, _ = _shape(own, "pos_embed", 3)
    classes = 1 if "cls_token" in own else 0
    registers = _shape(own, "reg_token", 3)[1] if "reg_token" in own else 0
    side = isqrt(tokens)
    if classes and side**2 != tokens:
        side = isqrt(tokens - 1)
    positioned = bool(classes) and side**2 == tokens - 1
    if patch != other or side**2 + positioned != tokens:
        raise ValueError(
            f"a Vision Transformer of {patch}×{other} patches and {tokens} position embeddings is none of "
            "square patches and a square image"
        )
    if registers and positioned:  # registers have no place, and timm gives the class token's to itself
        positions = own["pos_embed"]
        own |= {"cls_token": own["cls_token"] + positions[:, :1], "pos_embed": positions[:, 1:]}
    if "norm_pre.weight" in own and "quick_gelu" not in arguments:
        raise ValueError(
            "whether an image tower of CLIP's has OpenAI's activation cannot be told from weights; say "
            "+encoder_arguments.quick_gelu=true (OpenAI's own, and *-quickgelu) or =false (OpenCLIP's)"
        )
    if "heads" not in arguments:
        arguments["heads"] = _heads(own, layout, width)
    shape = {
        "image_size": side * patch, "patch_size": patch, "width": width,
        "depth": _count(own, r"blocks\.(\d+)\."), "hidden": _shape(own, "blocks.0.mlp.fc2.weight", 2)[1],
        "registers": registers, "class_token": bool(classes), "class_position": positioned and not registers,
        "layer_scale": "blocks.0.ls1.gamma" in own, "gated": "blocks.0.mlp.w12.weight" in state,
        "pre_norm": "norm_pre.weight" in own, "epsilon": 1e-5 if "norm_pre.weight" in own else 1e-6,
    }  # fmt: skip
    if not classes:
        shape["class_position"] = True
    network = _built(TimmVit, channels, shape | arguments)
    return network, {f"network.{name}": value for name, value in own.items()}


_RELEASED = {"register_tokens": "reg_token"}
"""Names of facebookresearch's and timm's."""


def _heads(state: Mapping[str, Tensor], layout: Layout, width: int) -> int:
    """Attention heads, which weights do not tell. Fixed position embeddings are 0 for the class token."""
    learned = bool(state["pos_embed"][:, 0].any())
    heads = (layout.vit_heads if learned else layout.fixed_heads).get(width)
    if heads is None:
        raise ValueError(
            f"how many attention heads a Vision Transformer of width {width} has cannot be told from weights "
            f"in the layout {layout.name}; say so with the argument heads (+encoder_arguments.heads=…)"
        )
    return heads


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many blocks there are, numbered from 0.

    Raises:
        ValueError: a number is left out, so that a few names cannot ask for a network of any depth.
    """
    found = {int(match[1]) for key in state if (match := re.match(pattern, key))}
    if found != set(range(len(found))):
        raise ValueError(f"the blocks {pattern} are numbered {sorted(found)[:12]}: some are missing")
    return len(found)


def _shape(state: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    if name not in state or state[name].ndim != axes:
        found = tuple(state[name].shape) if name in state else "missing"
        raise ValueError(f"{name} must have {axes} axes; it is {found}")
    return tuple(state[name].shape)


def _built(kind: type[Backbone], channels: int, arguments: Mapping[str, object]) -> Backbone:
    try:
        return kind(channels, **arguments)  # type: ignore[arg-type]  # each kind takes arguments of its own
    except TypeError as error:
        raise ValueError(f"{kind.__name__} cannot be built from {dict(arguments)}: {error}") from error
