"""What determines a pretraining run: kept with it, and compared when its folder is opened again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretext.classes import TARGET, named
from pretext.data.dataset import Split
from pretext.fit.optimisation import Optimisation
from pretext.identity import identity
from pretext.task import Task


def run_identity(
    task: Task,
    train: Split,
    val: Split,
    name: str,
    seed: int,
    epochs: int,
    epoch_batches: int | None,
    batch_size: int,
    optimisation: Optimisation | None,
    precision: str,
) -> dict[str, Any]:
    """The plain values that determine a run, by which a folder is known to be its own."""
    encoder = task.encoder
    values = {
        "name": name,
        "task": identity(type(task), _inside(task.arguments)),
        "backbone": identity(type(encoder.backbone), encoder.backbone.arguments),
        "input": identity(type(encoder.input), encoder.input.arguments),
        "train": train.digest,
        "val": val.digest,
        "seed": seed,
        "epochs": epochs,
        "epoch_batches": epoch_batches,
        "batch_size": batch_size,
        "optimisation": optimisation.describe() if optimisation is not None else None,
        "precision": precision,
    }
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain


def _inside(value: Any) -> Any:
    """Arguments in which tasks that are described there stand by their identity."""
    if not isinstance(value, Mapping):
        return value
    inner = {key: _inside(each) for key, each in value.items() if key != TARGET}
    kind = named(str(value[TARGET]), Task, "pretext.tasks") if TARGET in value else None
    return inner if kind is None else identity(kind, inner)


def check_same(own: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    """Raise ValueError where what was found at `path` is another run's; names what differs."""
    differing = [key for key in own if own[key] != found.get(key)]
    if differing:
        listed = "; ".join(f"{key}: {found.get(key)!r} there, {own[key]!r} now" for key in differing)
        raise ValueError(f"{path} belongs to another run ({listed}); choose another folder or delete it")
