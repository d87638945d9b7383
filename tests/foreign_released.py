"""Checkpoints as DINOv2, I-JEPA, MAE, CLIP, OpenMMLab and others lay them out, of small networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from foreign_checkpoints import normalised
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

State = dict[str, Tensor]


@dataclass
class Released:
    """What is saved, the last map (2, D, h, w) and class token of the images, and how it is opened."""

    content: Any
    map: Tensor
    cls: Tensor | None
    layout: str
    left: tuple[str, ...] = ()
    arguments: Mapping[str, object] = field(default_factory=dict)


def noisy(made: nn.Module) -> nn.Module:
    """With weights of which none is zero or one, so that each counts."""
    torch.manual_seed(5)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(torch.randn_like(value), alpha=0.1)
    return made.eval()


def timms(**options: Any) -> VisionTransformer:
    made = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=192, depth=4, num_heads=3, num_classes=0, **options
    )
    return noisy(made)  # type: ignore[return-value]


@torch.no_grad()
def features(made: VisionTransformer) -> tuple[Tensor, Tensor | None]:
    tokens = made.forward_features(normalised())
    patches = tokens[:, made.num_prefix_tokens :].transpose(1, 2).unflatten(2, (4, 4))
    return patches, tokens[:, 0] if made.cls_token is not None else None


def renamed(state: Mapping[str, Tensor], *patterns: tuple[str, str]) -> State:
    out: State = dict(state)
    for old, new in patterns:
        out = {re.sub(old, new, name): value for name, value in out.items()}
    return out


def under(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


MASK = {"mask_token": torch.ones(1, 192)}


def dinov2(kind: str) -> Released:
    """facebookresearch/dinov2: a released backbone, one with registers, a giant, a teacher in training."""
    more: dict[str, Any] = {"init_values": 0.1}
    if kind == "registers":
        more |= {"reg_tokens": 4, "no_embed_class": True}
    if kind == "giant":
        more |= {"mlp_layer": SwiGLUPacked, "mlp_ratio": 2 * 2.66667}
    made = timms(**more)
    state = dict(made.state_dict())
    if kind == "registers":  # the release has a place of the class token; timm's network has it added to it
        place = torch.rand(1, 1, 192)
        state["cls_token"] = state["cls_token"] - place
        state["pos_embed"] = torch.cat([place, state["pos_embed"]], 1)
        state["register_tokens"] = state.pop("reg_token")
    if kind == "giant":
        state = renamed(state, (r"mlp\.fc1", "mlp.w12"), (r"mlp\.fc2", "mlp.w3"))
    if kind != "teacher":
        return Released(state | MASK, *features(made), "timm_vit", ("mask_token",))
    chunked = renamed(
        state | MASK, (r"^blocks\.([01])\.", r"blocks.0.\1."), (r"^blocks\.([23])\.", r"blocks.1.\1.")
    )
    heads = {"dino_head.mlp.0.weight": torch.ones(4, 192), "ibot_head.last_layer.weight": torch.ones(4, 4)}
    content = {"teacher": under("backbone.", chunked) | heads, "iteration": 7}
    left = ("backbone.mask_token", "dino_head.", "ibot_head.")
    return Released(content, *features(made), "dino", left)


def mae() -> Released:
    """facebookresearch/mae in training, decoder and all."""
    made = timms()
    decoder = {
        "mask_token": torch.ones(1, 1, 128), "decoder_pos_embed": torch.ones(1, 17, 128),
        "decoder_embed.weight": torch.ones(128, 192), "decoder_blocks.0.norm1.weight": torch.ones(128),
    }  # fmt: skip
    content = {
        "model": dict(made.state_dict()) | decoder,
        "optimizer": {"state": {}},
        "epoch": 7,
        "scaler": {},
    }
    return Released(content, *features(made), "timm_vit", ("decoder_", "mask_token"))


def ijepa(key: str = "target_encoder") -> Released:
    """facebookresearch/ijepa: two encoders, of no class token."""
    target, encoder = (timms(class_token=False, global_pool="avg", fc_norm=False) for _ in range(2))
    with torch.no_grad():
        encoder.pos_embed.mul_(3)
    content = {
        "encoder": under("module.", encoder.state_dict()),
        "target_encoder": under("module.", target.state_dict()),
        "predictor": {"module.predictor_blocks.0.norm1.weight": torch.ones(3)},
        "opt": {"state": {0: {"step": torch.ones(1)}}},
        "epoch": 7,
    }
    return Released(content, *features(target), "timm_vit", ("encoder.",), {"key": key})


class ClipBlock(nn.Module):
    """A residual block of openai/CLIP's model.py."""

    def __init__(self, quick: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(192, 3)
        self.ln_1, self.ln_2 = nn.LayerNorm(192), nn.LayerNorm(192)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(192, 768), "c_proj": nn.Linear(768, 192)})
        self.quick = quick

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        y = y * torch.sigmoid(1.702 * y) if self.quick else nn.functional.gelu(y)
        return x + self.mlp["c_proj"](y)


class ClipTower(nn.Module):
    """The image tower of openai/CLIP's model.py."""

    def __init__(self, quick: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 192, 8, 8, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(192))
        self.positional_embedding = nn.Parameter(torch.randn(17, 192))
        self.ln_pre, self.ln_post = nn.LayerNorm(192), nn.LayerNorm(192)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(ClipBlock(quick) for _ in range(4))})
        self.proj = nn.Parameter(torch.randn(192, 64))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x).permute(1, 0, 2)
        for block in self.transformer["resblocks"]:  # type: ignore[union-attr]
            x = block(x)
        return self.ln_post(x.permute(1, 0, 2))


@torch.no_grad()
def clip(quick: bool) -> Released:
    made = noisy(ClipTower(quick))
    tokens = made(normalised())
    text = {
        "positional_embedding": torch.ones(77, 8), "text_projection": torch.ones(8, 4),
        "logit_scale": torch.ones([]), "token_embedding.weight": torch.ones(9, 8),
        "ln_final.weight": torch.ones(8),
        "transformer.resblocks.0.ln_1.weight": torch.ones(8),
    }  # fmt: skip
    left = (
        "ln_final.", "logit_scale", "positional_embedding", "text_projection", "token_embedding.",
        "transformer.", "visual.proj",
    )  # fmt: skip
    state = under("visual.", made.state_dict()) | text
    patches = tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    return Released(state, patches, tokens[:, 0], "clip", left, {"quick_gelu": quick})


def siglip() -> Released:
    """SigLIP in open_clip: timm's tower as its trunk, with attention in the place of a class token."""
    made = timms(class_token=False, global_pool="map", fc_norm=False)
    text = {
        "logit_scale": torch.ones([]),
        "logit_bias": torch.ones([]),
        "text.token_embedding.weight": torch.ones(9, 8),
    }
    left = ("logit_bias", "logit_scale", "text.", "visual.trunk.attn_pool.")
    return Released(under("visual.trunk.", made.state_dict()) | text, *features(made), "timm_vit", left)


def mmpretrain(averaged: bool = False) -> Released:
    """OpenMMLab's mmpretrain: a Vision Transformer in training, or beside an average of it, as in MoCo v3."""
    made = timms()
    state = renamed(
        made.state_dict(),
        (r"patch_embed\.proj\.", "patch_embed.projection."),
        (r"^blocks\.(\d+)\.norm([12])\.", r"layers.\1.ln\2."),
        (r"^blocks\.(\d+)\.mlp\.fc1\.", r"layers.\1.ffn.layers.0.0."),
        (r"^blocks\.(\d+)\.mlp\.fc2\.", r"layers.\1.ffn.layers.1."),
        (r"^blocks\.", "layers."),
        (r"^norm\.", "ln1."),
    )
    beside = {"head.layers.head.weight": torch.ones(7, 192), "neck.mlp.0.weight": torch.ones(4, 192)}
    left = ["head.", "neck."]
    if averaged:
        zeros = {name: torch.zeros_like(value) for name, value in state.items()}
        beside |= under("momentum_encoder.module.0.", zeros) | {"momentum_encoder.steps": torch.zeros(())}
        left.insert(1, "momentum_encoder.")
    content = {"meta": {"epoch": 5}, "state_dict": under("backbone.", state) | beside, "message_hub": {}}
    layout = "mmpretrain" if averaged else "mmpretrain_vit"
    return Released(content, *features(made), layout, tuple(left))


def lightning(*wrappers: str) -> Released:
    """A backbone within wrappers of any names and order, in a Lightning checkpoint (stable-pretraining)."""
    made = timms()
    prefix = "".join(f"{name}." for name in wrappers)
    state = under(prefix, made.state_dict()) | {
        "projector.0.weight": torch.ones(4, 192), "callbacks_metrics.probe.weight": torch.ones(3),
    }  # fmt: skip
    content = {
        "state_dict": state,
        "pytorch-lightning_version": "2.6",
        "loops": {"fit_loop": {"state_dict": {}}},
    }
    return Released(content, *features(made), "timm_vit", ("callbacks_metrics.", "projector."))


def lightly_train() -> Released:
    """lightly-train in training: a student and a teacher, each in a wrapped model."""
    teacher, student = timms(), timms()
    with torch.no_grad():
        student.norm.weight.mul_(3)
    state = under("teacher_embedding_model.wrapped_model._model.", teacher.state_dict())
    state |= under("student_embedding_model.wrapped_model._model.", student.state_dict())
    state |= {"student_projection_head.layers.0.weight": torch.ones(4, 192)}
    left = ("student_embedding_model.", "student_projection_head.")
    content = {"state_dict": state, "global_step": 7}
    key = {"key": "state_dict.teacher_embedding_model"}
    return Released(content, *features(teacher), "timm_vit", left, key)


DINOV2 = ("plain", "registers", "giant", "teacher")
RELEASED: dict[str, Callable[[], Released]] = {
    **{f"dinov2, {kind}": lambda kind=kind: dinov2(kind) for kind in DINOV2},
    "mae": mae,
    "i-jepa": ijepa,
    "clip": lambda: clip(quick=True),
    "open_clip": lambda: clip(quick=False),
    "siglip in open_clip": siglip,
    "mmpretrain": mmpretrain,
    "mmpretrain, moco v3": lambda: mmpretrain(averaged=True),
    "compiled": lambda: lightning("model", "_orig_mod", "backbone"),
    "in parallel within a teacher": lambda: lightning("teacher", "module", "encoder", "backbone"),
    "names that nobody has heard of": lambda: lightning("thing", "_orig_mod", "module", "it"),
    "lightly-train": lightly_train,
}  # fmt: skip
