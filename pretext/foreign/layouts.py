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

VIT_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
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


def _plain(content: Any) -> State | None:
    """A state dict without the prefix that parallel training puts before every key; None where it is none."""
    if not isinstance(content, Mapping):
        return None
    state = {key: value for key, value in content.items() if isinstance(key, str)}
    if len(state) < len(content) or not all(isinstance(value, Tensor) for value in state.values()):
        return None
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return state


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
        beside=("head.",),
        paths=(("teacher",),),
    ),
    Layout(
        "vissl",
        "facebookresearch/vissl",
        marks=(("_feature_blocks.", "base_model._feature_blocks."),),
        prefixes=("_feature_blocks.", "base_model._feature_blocks."),
        paths=(("classy_state_dict", "base_model", "model", "trunk"), ("model_state_dict",), ()),
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
        "timm's Vision Transformers, and DINO's released backbones",
        marks=(("patch_embed.proj.weight", "backbone.patch_embed.proj.weight"),),
        prefixes=("backbone.", ""),
        paths=ANYWHERE,
        fixed_heads={width: heads for width, heads in VIT_HEADS.items() if TWELVE[width] == heads},
    ),
)  # fmt: skip
"""In the order in which they are tried."""


def recognise(content: Any, where: str) -> tuple[Layout, State]:
    """The layout of a file's content and its whole state dict.

    Raises:
        ValueError: none of them; the message lists them and the first keys of the file.
    """
    for layout in LAYOUTS:
        state = layout.find(content)
        if state is not None:
            return layout, state
    known = "; ".join(f"{x.name} ({' + '.join('|'.join(group) for group in x.marks)})" for x in LAYOUTS)
    raise ValueError(f"{where} has none of the layouts that are known: {known}. {_first_keys(content)}")


def _first_keys(content: Any, shown: int = 8) -> str:
    """The first keys of a file, and those of the mappings one level down."""
    if not isinstance(content, Mapping):
        return f"It holds a {type(content).__name__}"
    lines = [f"Its first keys are: {', '.join(map(repr, list(content)[:shown])) or 'none'}"]
    for key, inner in list(content.items())[:shown]:
        if isinstance(inner, Mapping):
            lines.append(f"in {key!r}: {', '.join(map(repr, list(inner)[:shown])) or 'nothing'}")
    return "; ".join(lines)
