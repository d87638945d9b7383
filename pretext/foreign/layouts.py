"""How other projects lay out their checkpoints: where the backbone lies, and what lies beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

State = dict[str, Tensor]
HEADS = ("fc.", "head.")
"""Classifiers and projectors that projects put in the place of a backbone's own last layer."""
VIT_HEADS_BESIDE = (
    *HEADS, "head_dist.", "fc_norm.", "attn_pool.", "mask_token", "decoder_", "local_cls_norm.", "proj",
)  # fmt: skip
"""The same in Vision Transformers, with what masked modelling reads and writes."""

VIT_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1152: 16, 1280: 16, 1536: 24}
"""Attention heads by width, as DeiT, timm and DINO have them; weights do not tell."""
TWELVE = VIT_HEADS | {192: 12, 384: 12}
"""As MoCo v3 has them."""


@dataclass(frozen=True)
class Layout:
    """One project's way of writing checkpoints.

    Attributes:
        name: as records call it.
        source: the project.
        marks: it is this layout where of each group one beginning occurs among the keys.
        prefixes: what stands before the backbone's keys; the first that occurs counts.
        beside: beginnings of what is left out knowingly: teachers or students, projectors, queues, heads.
        paths: entries of the file that lead to the state dict; the first that is there counts.
        heads: as `beside`, inside the backbone.
        rename: from the backbone's keys to torchvision's (ResNets) or timm's (Vision Transformers).
        vit_heads: attention heads by width. fixed_heads: the same, where position embeddings are not learned.
        stem_padding: of a 3×3 first convolution.
    """

    name: str
    source: str
    marks: tuple[tuple[str, ...], ...]
    prefixes: tuple[str, ...]
    beside: tuple[str, ...] = ()
    paths: tuple[tuple[str, ...], ...] = ((),)
    heads: tuple[str, ...] = HEADS
    rename: Callable[[State], State] = dict
    vit_heads: Mapping[int, int] = field(default_factory=lambda: VIT_HEADS)
    fixed_heads: Mapping[int, int] = field(default_factory=lambda: VIT_HEADS)
    stem_padding: int = 1

    def find(self, content: Any) -> State | None:
        """The whole state dict, if the content of a file has this layout."""
        for path in self.paths:
            inner = content
            for step in path:
                inner = inner.get(step) if isinstance(inner, Mapping) else None
            state = _plain(inner)
            if state and all(any(key.startswith(group) for key in state) for group in self.marks):
                return state
        return None

    def split(self, state: Mapping[str, Tensor]) -> Parts:
        """Cut a state dict into the backbone, renamed, what is left out knowingly, and the rest."""
        prefix = next(p for p in self.prefixes if any(key.startswith(p) for key in state))
        inner: State = {}
        left, unknown = set[str](), list[str]()
        for key, value in state.items():
            own = key.startswith(prefix)
            name = key.removeprefix(prefix) if own else key
            known = next((b for b in (self.heads if own else self.beside) if name.startswith(b)), None)
            if known is not None:
                left.add(prefix + known if own else known)
            elif own:
                inner[name] = value
            else:
                unknown.append(key)
        return Parts(self.rename(inner), tuple(sorted(left)), tuple(unknown))


class Parts(NamedTuple):
    """A state dict in parts: the backbone, the beginnings of what is left out, keys that nobody knows."""

    backbone: State
    left: tuple[str, ...]
    unknown: tuple[str, ...]


WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What PyTorch puts into names, anywhere, where it wraps a module: in parallel, compiled, sharded."""

AVERAGED = "n_averaged"
"""What it counts by where it averages weights."""


def _plain(content: Any) -> State | None:
    """A state dict without the names of PyTorch's wrappers; None where it is none."""
    if not isinstance(content, Mapping):
        return None
    state = {key: value for key, value in content.items() if isinstance(key, str)}
    if len(state) < len(content) or not all(isinstance(value, Tensor) for value in state.values()):
        return None
    return unwrapped(state)


def unwrapped(state: Mapping[str, Tensor]) -> State:
    """A state dict without the names of PyTorch's wrappers; as it is where two entries would be one."""
    own = {key: x for key, x in state.items() if key != AVERAGED}
    plain = {".".join(p for p in key.split(".") if p not in WRAPPERS): x for key, x in own.items()}
    return plain if len(plain) == len(own) else dict(state)


LIGHTLY_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""torchvision's ResNet as a row of its children; 2 and 3 are ReLU and max-pool."""
LIGHTLY_OWN = {"0": "conv1", "1": "bn1", "2": "layer1", "3": "layer2", "4": "layer3", "5": "layer4"}
"""lightly's own ResNet, which has neither as children."""


def _from_lightly(state: State) -> State:
    """Rename rows of children, lightly's shortcuts and its wrapped Vision Transformer."""
    if any(key.startswith("vit.") for key in state):
        return {key.removeprefix("vit."): value for key, value in state.items()}
    if "0.weight" not in state:
        return state
    children = LIGHTLY_OWN if any(key.startswith("2.0.") for key in state) else LIGHTLY_CHILDREN
    renamed: State = {}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        rest = re.sub(r"(^|\.)shortcut\.", r"\1downsample.", rest)
        renamed[f"{children.get(first, first)}.{rest}"] = value
    return renamed


def _renamed(state: State, patterns: tuple[tuple[str, str], ...]) -> State:
    """Rename by the first pattern that fits the beginning of a name; other names stay."""
    renamed: State = {}
    for key, value in state.items():
        fits = ((re.sub(rf"^{old}", new, key), re.match(old, key)) for old, new in patterns)
        renamed[next((name for name, match in fits if match), key)] = value
    return renamed


def _from_mmpretrain(state: State) -> State:
    return _renamed(state, (
        (r"patch_embed\.projection\.", "patch_embed.proj."),
        (r"layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
        (r"layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
        (r"layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
        (r"layers\.(\d+)\.attn\.gamma1\.weight", r"blocks.\1.ls1.gamma"),
        (r"layers\.(\d+)\.ffn\.gamma2\.weight", r"blocks.\1.ls2.gamma"),
        (r"layers\.", "blocks."),
        (r"ln1\.", "norm."),
    ))  # fmt: skip


def _from_clip(state: State) -> State:
    block = r"transformer\.resblocks\.(\d+)\."
    renamed = _renamed(state, (
        (r"conv1\.", "patch_embed.proj."),
        (r"class_embedding", "cls_token"),
        (r"positional_embedding", "pos_embed"),
        (r"ln_pre\.", "norm_pre."),
        (r"ln_post\.", "norm."),
        (block + r"ln_([12])\.", r"blocks.\1.norm\2."),
        (block + r"attn\.in_proj_", r"blocks.\1.attn.qkv."),
        (block + r"attn\.out_proj\.", r"blocks.\1.attn.proj."),
        (block + r"mlp\.c_fc\.", r"blocks.\1.mlp.fc1."),
        (block + r"mlp\.c_proj\.", r"blocks.\1.mlp.fc2."),
    ))  # fmt: skip
    if "cls_token" in renamed and renamed["cls_token"].ndim == 1:
        renamed["cls_token"] = renamed["cls_token"][None, None]
    if "pos_embed" in renamed and renamed["pos_embed"].ndim == 2:
        renamed["pos_embed"] = renamed["pos_embed"][None]
    return renamed


IN_LIGHTNING = (("state_dict",), ())
ANYWHERE = ((), ("state_dict",), ("model",), ("model_state_dict",))

LAYOUTS = (
    Layout(
        "moco_v3",
        "arXiv:2104.02057, facebookresearch/moco-v3",
        marks=(("base_encoder.",),),
        prefixes=("base_encoder.",),
        beside=("momentum_encoder.", "predictor."),
        paths=IN_LIGHTNING,
        vit_heads=TWELVE,
        fixed_heads=TWELVE,
    ),
    Layout(
        "moco_v2",
        "arXiv:2003.04297, facebookresearch/moco with an MLP head",
        marks=(("encoder_q.",), ("encoder_q.fc.0.",)),
        prefixes=("encoder_q.",),
        beside=("encoder_k.", "queue"),
        paths=IN_LIGHTNING,
    ),
    Layout(
        "moco_v1",
        "arXiv:1911.05722, facebookresearch/moco with a linear head",
        marks=(("encoder_q.",),),
        prefixes=("encoder_q.",),
        beside=("encoder_k.", "queue"),
        paths=IN_LIGHTNING,
    ),
    Layout(
        "dino",
        "arXiv:2104.14294, facebookresearch/dino: the teacher",
        marks=(("backbone.",),),
        prefixes=("backbone.",),
        beside=("head.", "dino_head.", "ibot_head."),
        paths=(("teacher",),),
        heads=(*HEADS, "mask_token"),
    ),
    Layout(
        "vissl",
        "facebookresearch/vissl",
        marks=(("_feature_blocks.", "base_model._feature_blocks."),),
        prefixes=("_feature_blocks.", "base_model._feature_blocks."),
        paths=(("classy_state_dict", "base_model", "model", "trunk"), ("model_state_dict",), ()),
    ),
    Layout(
        "mmpretrain",
        "OpenMMLab's mmpretrain and mmselfsup: networks that learn beside an average of themselves",
        marks=(
            ("backbone.conv1.weight", "backbone.patch_embed.projection.weight"),
            ("target_net.0.", "encoder_k.0.", "momentum_encoder.0."),
        ),
        prefixes=("backbone.",),
        beside=("neck.", "head.", "target_net.", "encoder_k.", "momentum_encoder.", "queue"),
        paths=ANYWHERE,
        heads=VIT_HEADS_BESIDE,
        rename=_from_mmpretrain,
    ),
    Layout(
        "lightly",
        "lightly-ai/lightly",
        marks=(
            ("backbone.", "teacher_backbone."),
            (
                "projection_head.", "prediction_head.", "online_classifier.", "backbone_momentum.",
                "student_backbone.", "query_backbone.", "backbone.0.weight", "backbone.vit.",
            ),
        ),
        prefixes=("backbone.", "teacher_backbone."),
        beside=(
            "projection_head", "prediction_head", "online_classifier.", "backbone_momentum.",
            "projection_head_momentum.", "student_", "teacher_", "query_", "criterion.", "prototypes.",
            "momentum_", "start_queue", "queue", "memory_bank", "decoder.",
        ),
        heads=(*HEADS, "vit.head.", "mask_token"),
        paths=IN_LIGHTNING,
        rename=_from_lightly,
    ),
    Layout(
        "solo_learn",
        "arXiv:2108.01775, vturrisi/solo-learn",
        marks=(
            ("backbone.", "encoder."),
            (
                "projector.", "classifier.", "predictor.", "prototypes.", "momentum_backbone.",
                "momentum_encoder.", "momentum_projector.", "queue", "decoder.",
            ),
        ),
        prefixes=("backbone.", "encoder."),
        beside=(
            "projector.", "classifier.", "predictor.", "prototypes.", "momentum_", "queue", "head.",
            "decoder.", "dino_loss_func.", "local_memory_", "assignments",
        ),
        paths=IN_LIGHTNING,
        fixed_heads=TWELVE,
        stem_padding=2,
    ),
    Layout(
        "torchvision",
        "torchvision's ResNets; with their backbone. or module. prefix, a projector or prototypes",
        marks=(("conv1.weight", "backbone.conv1.weight"), ("layer1.0.", "backbone.layer1.0.")),
        prefixes=("backbone.", ""),
        heads=(*HEADS, "projection_head.", "prototypes."),
        paths=ANYWHERE,
    ),
    Layout(
        "timm_vit",
        "timm's Vision Transformers; the released backbones of DINO, DINOv2, DINOv3, MAE and I-JEPA",
        marks=(("patch_embed.proj.weight", "backbone.patch_embed.proj.weight"),),
        prefixes=("backbone.", ""),
        paths=ANYWHERE,
        heads=VIT_HEADS_BESIDE,
        fixed_heads={width: heads for width, heads in VIT_HEADS.items() if TWELVE[width] == heads},
    ),
    Layout(
        "mmpretrain_vit",
        "OpenMMLab's mmpretrain and mmselfsup: Vision Transformers",
        marks=(("patch_embed.projection.weight", "backbone.patch_embed.projection.weight"),),
        prefixes=("backbone.", ""),
        paths=ANYWHERE,
        heads=VIT_HEADS_BESIDE,
        rename=_from_mmpretrain,
    ),
    Layout(
        "clip",
        "arXiv:2103.00020, openai/CLIP and mlfoundations/open_clip: the image tower",
        marks=(("class_embedding", "visual.class_embedding"),),
        prefixes=("visual.", ""),
        beside=(
            "transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection",
            "text.", "logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size",
        ),
        paths=ANYWHERE,
        heads=("proj",),
        rename=_from_clip,
    ),
)  # fmt: skip
"""In the order in which they are tried."""
