"""DINOv3's released backbones (arXiv:2508.10104), as timm's network of their size."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pretext.backbones import Backbone
from pretext.backbones.timm_whole import TimmWhole

State = dict[str, Tensor]
SIZES = {
    (192, 12, False): "tiny", (384, 12, False): "small", (384, 12, True): "small_plus",
    (768, 12, False): "base", (1024, 24, False): "large", (1280, 32, True): "huge_plus",
    (4096, 40, True): "7b",
}  # fmt: skip
"""By width, number of blocks, and whether their MLPs are gated."""

BASE = 100.0
"""Of the periods by which places turn queries and keys."""

LEFT = re.compile(r"rope_embed\.periods|mask_token|local_cls_norm\..+|blocks\.\d+\.attn\.qkv\.bias_mask")
"""What takes no part in the features, or is the same in every network."""


def dinov3(state: Mapping[str, Tensor], arguments: Mapping[str, object]) -> tuple[Backbone, State]:
    """Build timm's network of a state dict under facebookresearch/dinov3's names, and rename the state dict.

    Raises:
        ValueError: a size that was not released, or periods and biases that the released ones do not have.
    """
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    gated = "blocks.0.mlp.w3.weight" in state
    if (width, depth, gated) not in SIZES or patch != 16:
        known = ", ".join(f"{name} ({w} wide, {d} blocks)" for (w, d, _), name in SIZES.items())
        raise ValueError(
            f"a DINOv3 {width} wide of {depth} blocks and {patch}×{patch} patches was not released: {known}"
        )
    biases = {name: x for name, x in state.items() if name.endswith("attn.qkv.bias")}
    biased = any(bool(x[:width].any() or x[2 * width :].any()) for x in biases.values())
    model = f"vit_{SIZES[width, depth, gated]}_patch16_dinov3{'_qkvb' if biased else ''}"
    try:
        network = TimmWhole(channels, model, **arguments)  # type: ignore[arg-type]  # held to its signature
    except TypeError as error:
        raise ValueError(f"DINOv3 cannot be built from {dict(arguments)}: {error}") from error
    _check_periods(state, width // network.network.blocks[0].attn.num_heads)
    renamed: State = {}
    for name, value in state.items():
        if LEFT.fullmatch(name):
            continue
        if name.endswith("attn.qkv.bias"):
            if biased:  # that of the keys is masked in training, and adds nothing to a softmax
                query, _, values = value.chunk(3)
                place = f"network.{name.removesuffix('qkv.bias')}"
                renamed |= {f"{place}q_bias": query, f"{place}v_bias": values}
            continue
        renamed[f"network.{_timm_name(name)}"] = value
    return network, renamed


def _timm_name(name: str) -> str:
    name = name.replace("storage_tokens", "reg_token")
    name = re.sub(r"\.ls([12])\.gamma$", r".gamma_\1", name)
    name = name.replace(".mlp.w1.", ".mlp.fc1_g.").replace(".mlp.w2.", ".mlp.fc1_x.")
    return name.replace(".mlp.w3.", ".mlp.fc2.")


def _check_periods(state: Mapping[str, Tensor], width: int) -> None:
    """Raise ValueError for periods that are not those of every released network.

    Args:
        width: of a head.
    """
    periods = state.get("rope_embed.periods")
    expected = BASE ** (torch.arange(width // 4) / (width // 4))
    if periods is not None and (
        periods.shape != expected.shape or not torch.allclose(periods.float(), expected, rtol=0.02)
    ):
        raise ValueError(f"rope_embed.periods are {periods.tolist()}, not those of base {BASE}")
