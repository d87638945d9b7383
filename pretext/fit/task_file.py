"""A trained task on disk, heads and all: what colours a photograph, and what another task starts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor

from pretext import encoder as encoders
from pretext.atomic import write_bytes, write_json
from pretext.classes import class_path, named
from pretext.task import Task

FORMAT = 1
_WEIGHTS, _DESCRIPTION = "task.safetensors", "task.json"


def check_savable(task: Task) -> None:
    """Raise ValueError for a task that `load_task` could not build again."""
    _resolve(class_path(type(task)))
    json.dumps(task.arguments, allow_nan=False)
    missing = set(task.transient) - task.state_dict().keys()
    if missing:
        raise ValueError(
            f"{type(task).__name__}.transient names no buffer of it: {', '.join(sorted(missing))}"
        )


def save_task(task: Task, folder: Path) -> None:
    """Write the encoder (`Encoder.save`) and what is kept beside it: `task.safetensors`, then `task.json`.

    Raises:
        ValueError: a task that `load_task` could not build again.
    """
    check_savable(task)
    task.encoder.save(folder)
    content = safetensors_save({k: v.detach().cpu().contiguous().clone() for k, v in _kept(task).items()})
    write_bytes(folder / _WEIGHTS, content)
    description = {
        "format": FORMAT,
        "task": class_path(type(task)),
        "arguments": task.arguments,
        "encoder_digest": task.encoder.digest(),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_json(folder / _DESCRIPTION, description)


def load_task(folder: Path) -> Task:
    """Open what `save_task` wrote, on the CPU and in eval mode; the global random state stays as it is.

    Raises:
        FileNotFoundError: the folder holds no task.
        ValueError: damaged files, files of different runs, or a task that this version does not have.
    """
    description, weights = folder / _DESCRIPTION, folder / _WEIGHTS
    for file in (description, weights):
        if not file.is_file():
            raise FileNotFoundError(f"no task checkpoint in {folder}: {file.name} is missing")
    again = f"delete {folder} to have the run made again"
    try:
        about: dict[str, Any] = dict(json.loads(description.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{description} is damaged ({error}): {again}") from error
    if about.get("format") != FORMAT:
        found = about.get("format")
        raise ValueError(f"{description} has format {found!r}; this version reads format {FORMAT}")
    content = weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != about["weights_sha256"]:
        raise ValueError(f"{weights} is damaged or not the file that {description} describes: {again}")
    encoder = encoders.load(folder)
    if encoder.digest() != about["encoder_digest"]:
        raise ValueError(f"the encoder in {folder} is not the one that {description} was saved with")
    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not shift anybody's draws
        build: Callable[..., Task] = _resolve(about["task"])  # each kind takes arguments of its own
        task = build(encoder=encoder, **about["arguments"])
    there = {*task.transient, *_shared(task)}
    fresh = {name: value for name, value in task.state_dict().items() if name in there}
    task.load_state_dict({**fresh, **safetensors_load(content)})
    return task.eval()


def _kept(task: Task) -> dict[str, Tensor]:
    """What is written beside the encoder: all but what is of the run, or the encoder's own under any name."""
    left = {*task.transient, *_shared(task)}
    return {name: value for name, value in task.state_dict().items() if name not in left}


def _shared(task: Task) -> set[str]:
    """Names in the task's state of what is its encoder's; parts of a task may hold the encoder too."""
    own = {id(value) for value in task.encoder.state_dict(keep_vars=True).values()}
    return {name for name, value in task.state_dict(keep_vars=True).items() if id(value) in own}


def _resolve(path: str) -> type[Task]:
    """Return the task class of that path; nothing outside `pretext.tasks` is imported for it."""
    kind = named(path, Task, "pretext.tasks")
    if kind is None:
        raise ValueError(f"{path!r} is no task class pretext.tasks.<module>.<Class>, nor one at hand")
    return kind
