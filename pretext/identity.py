"""What addresses a thing: declared name, version, and the options that differ from that version's defaults.

One rule for tasks, networks, inputs, optimisations, protocols and their recipes, so that neither a
refactoring nor an option that is added later moves a digest. No digest names a default; they are written down
beside the tests, which fail where one changes under an unchanged version.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pretext.described import chosen

OWN = ("pretext", "downstream", "pretextbench")
"""Packages whose names and defaults are declared; things of others go by their path and all that is said."""


def declared(kind: Callable[..., Any]) -> str:
    """The name that a class, or a function that makes things, goes by in digests.

    It is the class's `name` where it has one as a string, else what it is called: whoever renames a class
    and means the same by it gives it its old name. One of another package goes by its dotted path.
    """
    if kind.__module__.partition(".")[0] not in OWN:
        return f"{kind.__module__}.{kind.__qualname__}"
    name = getattr(kind, "name", None)
    return name if isinstance(name, str) else kind.__qualname__


def version(kind: Callable[..., Any]) -> int:
    """Version of what a kind computes and of its defaults; 1 where it names none."""
    found = getattr(kind, "version", 1)
    return found if isinstance(found, int) else 1


@functools.cache
def defaults(kind: Callable[..., Any]) -> dict[str, Any]:
    """What options are without being said, in their plain form; of what another package declares nothing.

    A function (who is told of progress) is no option.
    """
    found = usual(kind) if kind.__module__.partition(".")[0] in OWN else {}
    return {name: plain(value, name) for name, value in found.items() if not inspect.isroutine(value)}


def usual(kind: Callable[..., Any]) -> dict[str, Any]:
    """What options are without being said, as they are."""
    if dataclasses.is_dataclass(kind):
        found = {f.name: _default(f) for f in dataclasses.fields(kind) if f.init}
    else:
        found = {p.name: p.default for p in inspect.signature(kind).parameters.values()}
    missing = (inspect.Parameter.empty, dataclasses.MISSING)
    return {name: value for name, value in found.items() if not any(value is m for m in missing)}


def identity(kind: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What addresses a thing of that kind that is made with these options.

    Args:
        options: numbers, text, sequences and mappings of them, and dataclasses, which go by their identity.

    Returns:
        Plain JSON values: `name`, `version`, and `options` where any differs from its default.

    Raises:
        TypeError: an option that has no plain form; the message names it.
    """
    given = {name: plain(value, f"{kind.__qualname__}.{name}") for name, value in options.items()}
    own = chosen(given, defaults(kind))
    named = {"name": declared(kind), "version": version(kind)}
    return named | ({"options": own} if own else {})


def identity_of(thing: Any) -> dict[str, Any]:
    """What addresses a dataclass, by its fields; those that are not arguments are determined by the others.

    Raises:
        TypeError: no dataclass, or a field that has no plain form.
    """
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        raise TypeError(f"{type(thing).__name__} is not a dataclass: its settings cannot be named")
    return identity(
        type(thing), {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
    )


def plain(value: Any, where: str, of: Callable[[Any], dict[str, Any]] | None = None) -> Any:
    """A value as plain JSON, dataclasses by their identity.

    Args:
        where: names the value in the error.
        of: makes something else of dataclasses.

    Raises:
        TypeError: anything else.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]", of) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}", of) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (of or identity_of)(value)
    raise TypeError(
        f"{where} is a {type(value).__name__}, which has no plain form; use numbers, strings, tuples"
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
