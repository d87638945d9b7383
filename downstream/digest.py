"""Names for things by what determines them: SHA-256 over canonical JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pretext.identity import plain


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, shortest exact floats.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
        TypeError: anything that is not plain JSON, non-string keys included.
    """
    _refuse_keys(value, "")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 of `canonical(value)`, 64 hexadecimal characters."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def short(name: str) -> str:
    """The first 12 characters of a digest, as people are shown it."""
    return name[:12]


def settings(thing: Any) -> dict[str, Any]:
    """Every field of a frozen dataclass as plain JSON, its class named, nested ones included.

    For people to read; what it is addressed by is its identity, see `pretext.identity`.

    Raises:
        TypeError: a field that is not plain data; the message names it.
    """
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        raise TypeError(f"{type(thing).__name__} is not a dataclass: its settings cannot be named")
    fields = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}
    named = {name: plain(value, f"{type(thing).__name__}.{name}", settings) for name, value in fields.items()}
    return {"class": type(thing).__qualname__} | named


def source_digest(folder: Path, leave_out: Iterable[str] = ()) -> str:
    """SHA-256 over the Python files below `folder`, but those in its subfolders `leave_out`."""
    skipped = set(leave_out)
    paths = (path for path in folder.rglob("*.py") if path.relative_to(folder).parts[0] not in skipped)
    return files_digest(folder, paths)


def files_digest(folder: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over files of a folder, with their names in it."""
    total = hashlib.sha256()
    for path in sorted(paths):
        inside = path.relative_to(folder)
        total.update(f"{inside.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def _refuse_keys(value: Any, where: str) -> None:
    """json.dumps would turn 1 and "1" into the same key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} at {where or 'the top'} is no string")
            _refuse_keys(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _refuse_keys(item, f"{where}[{position}]")
