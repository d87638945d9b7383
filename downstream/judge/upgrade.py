"""Records of schema 1 in the form of schema 2: nothing is measured anew, and no value moves.

Schema 1 named networks by their class alone and knew no budget; both are read off the configuration that each
record keeps. It kept no effort of pretraining, and no twins: these stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downstream.judge.plain import FieldError
from pretext.described import budget, described

DEFAULTS: dict[str, dict[str, Any]] = {
    "AlexNet": {"fully_connected": False},
    "ColorNet": {"affine": False},
    "ResNet18": {"small_stem": False},
    "ResNet50": {"small_stem": False},
    "SmallNet": {"widths": [32, 64, 96, 128, 128]},
    "VisionTransformer": {
        "image_size": 224, "patch_size": 16, "width": 384, "depth": 12, "heads": 6, "every": 3,
    },
}  # fmt: skip
"""What the networks' arguments were by default while schema 1 was written."""

METRICS = {"ap_small": "ap_below_32px", "ap_medium": "ap_32_to_96px", "ap_large": "ap_above_96px"}
"""AP by size was called as COCO calls it, but took the sizes of boxes on the resized canvas."""


def from_schema_1(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The same record in the form of schema 2.

    Raises:
        FieldError: a part that is missing or no object.
    """
    for part in ("subject", "evaluation", "result", "cost", "provenance"):
        if not isinstance(entry.get(part), Mapping):
            raise FieldError(part, "missing, or no object")
    config = entry["provenance"].get("config")
    config = config if isinstance(config, Mapping) else {}
    evaluation, result = entry["evaluation"], entry["result"]
    metric = evaluation.get("metric")
    return {
        **entry,
        "schema": 2,
        "subject": {**entry["subject"], **_run(entry["subject"], config), "twins": {}},
        "evaluation": {
            **evaluation,
            "metric": _of(METRICS, metric) or metric,
            "suite": "",
            "options": _options(evaluation, config),
        },
        "result": {**result, "range": [0.0, 1.0]},
        "cost": {**entry["cost"], "pretraining": None},
    }


def _run(subject: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Network and input with their arguments, and the budget.

    An encoder from elsewhere was not made by the configuration it was judged under, which says nothing of it.
    """
    job = config.get("job")
    made_here = isinstance(job, Mapping) and job.get("name") != "evaluate"
    images = subject.get("images_seen")
    if not made_here:
        return {"budget": f"{images} images" if images else ""}
    network = config.get("backbone")
    network = dict(network) if isinstance(network, Mapping) else {}
    name = str(network.pop("_target_", subject.get("backbone"))).rpartition(".")[2]
    seen = config.get("input_arguments")
    trainer = config.get("trainer")
    epochs = [_whole(trainer, "epochs"), _whole(config.get("pretext"), "epochs")]
    return {
        "backbone": described(name, network, DEFAULTS.get(name, {})),
        "input": described(str(subject.get("input")), seen if isinstance(seen, Mapping) else {}, {}),
        "budget": budget(
            max((n for n in epochs if n is not None), default=0),
            _whole(trainer, "epoch_batches"),
            _whole(trainer, "batch_size") or 0,
        )
        if images
        else "",
    }


def _options(evaluation: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol's fields, where the configuration has them."""
    chosen = _of(config.get("downstream"), evaluation.get("protocol"))
    found = _fields(chosen) if isinstance(chosen, Mapping) and "_target_" in chosen else {}
    return found if isinstance(found, dict) else {}


def _fields(node: Any) -> Any:
    """A configuration node as `digest.settings` writes fields."""
    if isinstance(node, Mapping):
        target = node.get("_target_")
        named = {"class": str(target).rpartition(".")[2]} if target else {}
        return named | {str(key): _fields(value) for key, value in node.items() if key != "_target_"}
    return [_fields(item) for item in node] if isinstance(node, list) else node


def _whole(node: Any, key: str) -> int | None:
    found = _of(node, key)
    return found if isinstance(found, int) else None


def _of(node: Any, key: Any) -> Any:
    return node.get(key) if isinstance(node, Mapping) and isinstance(key, str) else None
