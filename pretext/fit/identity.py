"""What determines a pretraining run: kept with it, and compared when its folder is opened again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretext.data.dataset import Split
from pretext.described import chosen, defaults
from pretext.fit.optimisation import Optimisation
from pretext.task import Task


def identity_of(
    task: Task,
    train: Split,
    val: Split,
    name: str,
    seed: int,
    epochs: int,
    batch_size: int,
    optimisation: Optimisation | None,
    precision: str,
) -> dict[str, Any]:
    """The plain values that determine a run, by which a folder is known to be its own."""
    kind = type(task)
    values = {
        "name": name,
        "task": f"{kind.__module__}.{kind.__qualname__}",
        "arguments": chosen(task.arguments, defaults(kind)),
        "encoder": task.encoder.architecture,
        "train": train.digest,
        "val": val.digest,
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimisation": optimisation.describe() if optimisation is not None else None,
        "precision": precision,
    }
    if task.version != 1:  # left out where it is 1: finished runs are compared by these values
        values["version"] = task.version
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain


def check_same(task: Task, identity: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    """Raise ValueError where what was found at `path` is another run's; names what differs."""
    # Results once kept arguments that were at their defaults, too.
    found = {**found, "arguments": chosen(found.get("arguments", {}), defaults(type(task)))}
    differing = [key for key in identity if identity[key] != found.get(key)]
    if differing:
        listed = "; ".join(f"{key}: {found.get(key)!r} there, {identity[key]!r} now" for key in differing)
        raise ValueError(f"{path} belongs to another run ({listed}); choose another folder or delete it")
