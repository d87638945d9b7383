"""Protocols to and from plain JSON, of a file that nobody vouches for."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from pretext.classes import class_path, named
from pretext.identity import plain

T = TypeVar("T")

ROOMS = ("classification", "detection", "segmentation", "heads", "images", "tuning")
"""Parts of this package whose classes a file may name."""


def named_settings(thing: Any) -> dict[str, Any]:
    """A frozen dataclass as plain JSON: the path of its class, and its arguments, those inside likewise.

    Raises:
        TypeError: an argument that has no plain form.
    """
    kind = type(thing)
    arguments = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
    return {
        "class": class_path(kind),
        "arguments": {
            name: plain(value, f"{kind.__qualname__}.{name}", named_settings)
            for name, value in arguments.items()
        },
    }


def restored(said: Any, contract: type[T]) -> T:
    """Make again what `named_settings` said; nothing outside this package is imported for it.

    Raises:
        ValueError: another form, a class that is none of this package's, arguments that it does not take.
    """
    if not isinstance(said, dict) or said.keys() != {"class", "arguments"}:
        raise ValueError(f"a class and its arguments were expected, got {str(said)[:60]!r}")
    kind = _kind(str(said["class"]), contract)
    try:
        return kind(**{name: _value(value) for name, value in said["arguments"].items()})
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{said['class']} cannot be made of {said['arguments']!r}: {error}") from error


def _value(said: Any) -> Any:
    if isinstance(said, dict) and said.keys() == {"class", "arguments"}:
        if not str(said["class"]).startswith("downstream."):
            raise ValueError(f"{said['class']!r} is no class of this package")
        return restored(said, object)
    return tuple(map(_value, said)) if isinstance(said, list) else said


def _kind(path: str, contract: type[T]) -> type[T]:
    for room in ROOMS:
        kind = named(path, contract, f"downstream.{room}")
        if kind is not None and dataclasses.is_dataclass(kind):
            return kind
    raise ValueError(f"{path!r} is no {contract.__name__} of this package, nor one at hand")
