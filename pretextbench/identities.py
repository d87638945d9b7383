"""What addresses a run, and what a configuration node makes, by the one rule of `pretext.identity`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object

from pretext import inputs
from pretext.fit import Optimisation
from pretext.identity import identity

VERSION = 2
"""Raised when a change of code changes what every pretraining run computes."""


def of_node(node: Any) -> Any:
    """Plain values in which what is made by a `_target_` stands by its identity."""
    if isinstance(node, Mapping):
        inner = {str(key): of_node(value) for key, value in node.items() if key != "_target_"}
        return identity(get_object(node["_target_"]), inner) if "_target_" in node else inner
    return [of_node(item) for item in node] if isinstance(node, list | tuple) else node


def of_run(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What addresses a pretraining run.

    Args:
        spec: of a member; its parent stands there by its address.
    """
    budget = spec["budget"]
    seen = inputs.build(spec["input"], **spec["input_arguments"])
    options = {
        "task": of_node(spec["task"]),
        "optimisation": _of_optimisation(spec) if budget["epochs"] else None,
        "input": identity(type(seen), seen.arguments),
        "backbone": of_node(spec["backbone"]),
        "data": spec["data"],
        "epochs": budget["epochs"],
        "batch_size": budget["batch_size"],
        "epoch_batches": budget["epoch_batches"],
        "precision": spec["precision"],
        "seed": spec["seed"],
        "parent": spec["parent"],
        "calibration": of_node(spec["calibration"]),
    }
    used = {key: value for key, value in options.items() if value is not None}
    return {"name": spec["pretext"], "version": VERSION, "options": used}


def optimisation_options(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a run gives `Optimisation` beside the optimiser."""
    budget = spec["budget"]
    return {
        "warmup": budget["warmup"],
        "clip": budget["gradient_clip"],
        "accumulate": budget["accumulate"],
        "drops": tuple((share, factor) for share, factor in budget["drops"]),
        "decay_end": 1.0 if budget["decay_end"] is None else budget["decay_end"],
    }


def _of_optimisation(spec: Mapping[str, Any]) -> dict[str, Any]:
    return identity(Optimisation, {"optimizer": of_node(spec["optimizer"]), **optimisation_options(spec)})
