"""State dicts: read from files of unknown origin, copied into a module whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as safetensors_load
from torch import Tensor, nn

from pretext import unreadable

SHOWN = 20
"""Entries that an error names at most, of each fault."""


def read_state_dict(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """Read a plain state dict of unknown origin: safetensors, or `torch.save`'s opened with `weights_only`.

    Args:
        path: the file.
        key: where the state dict lies in a checkpoint that holds more (`state_dict`, `model`).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged or unsafe file, an unknown key, or entries that are no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors_load(path.read_bytes())
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen unrelated types on damaged files
        raise ValueError(
            f"{path} cannot be read as plain weights: {unreadable.reason(path, error)}"
        ) from error
    if key is not None:
        if not isinstance(content, Mapping) or key not in content:
            raise ValueError(f"{path} has no entry {key!r}; it has: {_entries(content)}")
        content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        listed = _entries(content)
        raise ValueError(f"{path} is no plain state dict; choose the entry that is by `key` out of: {listed}")
    return dict(content)


def _entries(content: object) -> str:
    return some([*map(str, content)]) if isinstance(content, Mapping) else type(content).__name__


def check(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and kinds of numbers of a state dict with a module's.

    Raises:
        ValueError: names what is missing, unexpected, misshapen, or no real number.
    """
    own = module.state_dict()
    # Older files lack BatchNorm's counter, which PyTorch then leaves as it is.
    missing = [k for k in own if k not in state and not k.endswith(".num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    misshapen = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    unreal = [
        f"{k} {_kind(state[k])} instead of {_kind(own[k])}"
        for k in own
        if k in state and own[k].is_floating_point() and not state[k].is_floating_point()
    ]
    faults = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": misshapen,
        "of another kind": unreal,
    }
    if any(faults.values()):
        listed = "; ".join(f"{what}: {some(names)}" for what, names in faults.items() if names)
        raise ValueError(f"the weights do not fit {type(module).__name__}: {listed}")


def some(names: Sequence[str], shown: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    left = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {left} more" if left > 0 else "")


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a complete state dict into a module; where `check` refuses it, nothing is changed."""
    check(module, state)
    module.load_state_dict(dict(state))
