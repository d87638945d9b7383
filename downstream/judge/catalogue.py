"""What a protocol says of itself, for lists of protocols."""

from __future__ import annotations

from downstream.heads.sgd_recipe import SgdRecipe
from downstream.judge.listed import Facts
from downstream.protocol import Protocol
from downstream.tuning.finetuning import Norm, Tuning


def facts(protocol: Protocol) -> Facts:
    """Read the facts off a protocol."""
    return Facts(
        protocol.name,
        protocol.version,
        protocol.task,
        protocol.paper,
        _frozen(protocol),
        _chosen(protocol),
        _cost(protocol),
    )


def _recipe(protocol: Protocol) -> Tuning | None:
    recipe = getattr(protocol, "recipe", None)
    return recipe if isinstance(recipe, Tuning) else None


def _frozen(protocol: Protocol) -> str:
    if not protocol.trains_encoder:
        return "encoder"
    if protocol.freezes is not None:
        return protocol.freezes
    recipe = _recipe(protocol)
    if recipe is None:
        return "nothing"
    if recipe.backbone_lr == 0:
        return "encoder" if recipe.norm is Norm.EVAL else "encoder but BN"
    parts = [*recipe.frozen_stages, *(["BN statistics"] if recipe.norm is Norm.EVAL else [])]
    return ", ".join(parts) or "nothing"


def _chosen(protocol: Protocol) -> str:
    if protocol.selects is None:
        return f"not stated (on {_where(protocol)})"
    if not protocol.selects:
        return "nothing"
    return f"{', '.join(protocol.selects)} on {_where(protocol)}"


def _where(protocol: Protocol) -> str:
    return "TEST" if protocol.legacy else "val"


def _cost(protocol: Protocol) -> str:
    """One pass where features are kept; what trains on them, once for each learning rate and trial.

    Where images are augmented, no feature can be kept: each step runs the encoder.
    """
    streamed = getattr(protocol, "recipe", None)
    if isinstance(streamed, SgdRecipe):
        return f"augmented; {streamed.length}"
    recipe = _recipe(protocol)
    if recipe is None:
        return "training" if protocol.trains_encoder else "1 pass"
    trials = max(len(getattr(protocol, "lrs", ())), 1) * getattr(protocol, "trials", 1)
    whole = recipe.length if trials == 1 else f"{trials} × {recipe.length}"
    if protocol.trains_encoder:
        return whole
    return f"augmented; {whole}" if hasattr(protocol, "augment") else f"1 pass; head: {whole}"
