"""What stands under a `_target_` is held to that signature: keys, types, what is missing.

Ranges are the classes' own affair; see `pretextbench.trial` for when they are asked.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from pretextbench.fitting import fit
from pretextbench.hints import chosen, near

TARGET = "_target_"
GIVEN: Mapping[str, frozenset[str]] = {
    "pretext.task": frozenset({"encoder"}),
    "pretext.optimizer": frozenset({"params"}),
    "backbone": frozenset({"in_channels"}),
    "colorizer.system": frozenset({"task"}),
    "data": frozenset({"cache", "progress"}),
    "target": frozenset({"cache", "progress"}),
    "monitor": frozenset({"cache", "progress"}),
}
"""Arguments that come from the program, by place."""

OF_DATA = frozenset({"classes", "multilabel"})
"""What a task leaves open (null) for the data set to fill in, see `pretextbench.runs`."""


def check(cfg: DictConfig) -> None:
    """Hold every part of a configuration that names a class or function to its signature.

    Raises:
        ValueError: a target that is not there, a key that it does not take or lacks, a value of another type.
    """
    try:
        for place, node in _parts(cfg):
            _check(node, place, GIVEN.get(place, frozenset()))
    except ValueError as error:
        if named := chosen("experiment"):
            error.add_note(f"experiment={named} sets keys of its own; with other groups it may not fit.")
        raise


def given(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """What an optimiser is made with: null takes away what a task's own YAML gives to another optimiser."""
    return {key: value for key, value in optimizer.items() if value is not None}


def _parts(cfg: DictConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    plain = typing.cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))
    found = {
        "backbone": plain["backbone"],
        "pretext.task": plain["pretext"]["task"],
        "pretext.optimizer": given(plain["pretext"]["optimizer"]),
        "data": plain["data"],
        "target": plain["target"],
        "monitor": plain["monitor"],
        "calibration": plain["calibration"],
        "colorizer.system": (plain["colorizer"] or {}).get("system"),
        **{f"downstream.{name}": node for name, node in plain["downstream"].items()},
    }
    for place, node in found.items():
        if isinstance(node, dict) and TARGET in node:
            yield place, node


def _check(node: dict[str, Any], place: str, given: Set[str]) -> None:
    target = _find(node[TARGET], place)
    parameters = inspect.signature(target).parameters
    hints = _hints(target)
    named = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    taken = [name for name in named if name not in given]
    for key, value in node.items():
        if key.startswith("_") and key.endswith("_"):
            continue
        if key not in named:
            if free:
                continue
            raise ValueError(
                f"there is no key {place}.{key}: {node[TARGET]} takes {', '.join(taken) or 'none'}."
                f"{near(key, taken)}"
            )
        if not (place.startswith("pretext.task") and key in OF_DATA and value is None):
            _value(hints.get(key, Any), value, f"{place}.{key}")
        for name, inner in inside(value).items():
            _check(inner, f"{place}.{key}.{name}", given)
    missing = [n for n in taken if n not in node and parameters[n].default is inspect.Parameter.empty]
    if missing:
        raise ValueError(f"{place} lacks {', '.join(missing)}, which {node[TARGET]} needs")


def inside(value: Any) -> dict[str, dict[str, Any]]:
    """What a mapping names by `_target_`, to be built by whom it is given to (tasks of a task)."""
    named = value.items() if isinstance(value, dict) and TARGET not in value else ()
    return {name: inner for name, inner in named if isinstance(inner, dict) and TARGET in inner}


def _value(hint: Any, value: Any, key: str) -> None:
    if not (isinstance(value, dict) and TARGET in value):
        if not _constructed(hint):
            fit(hint, value, key)
        elif value is not None or type(None) not in _members(hint):
            wanted = " or ".join(kind.__name__ for kind in _members(hint) if isinstance(kind, type))
            raise ValueError(f"{key} must be a {wanted}, named by _target_; it is {value!r}")
        return
    _check(value, key, frozenset())
    target = _find(value[TARGET], key)
    kinds = tuple(
        kind for kind in _members(hint) if isinstance(kind, type) and not getattr(kind, "_is_protocol", False)
    )
    if isinstance(target, type) and kinds and not issubclass(target, kinds):
        raise ValueError(f"{key} must be a {' or '.join(k.__name__ for k in kinds)}; it is a {value[TARGET]}")


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _constructed(hint: Any) -> bool:
    """Whether only an object of a class of ours fits, which YAML names by `_target_`."""
    kinds = [kind for kind in _members(hint) if kind is not type(None)]
    return all(isinstance(kind, type) and dataclasses.is_dataclass(kind) for kind in kinds) and bool(kinds)


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of what a target takes; none where they cannot be resolved."""
    if isinstance(target, type):
        described: Any = target if dataclasses.is_dataclass(target) else target.__init__  # type: ignore[misc]
    else:
        described = target
    try:
        return typing.get_type_hints(described, include_extras=True)
    except (NameError, TypeError):
        return {}


def _find(path: Any, place: str) -> Callable[..., Any]:
    """The class or function of a dotted path.

    Raises:
        ValueError: no such module, or nothing of that name in it; the nearest name is offered.
    """
    if not isinstance(path, str) or "." not in path:
        raise ValueError(f"{place}.{TARGET} must be module.name; it is {path!r}")
    module, _, name = path.rpartition(".")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{place}.{TARGET}: {path!r} cannot be imported: {error}") from None
    target = getattr(found, name, None)
    if not callable(target):
        names = [n for n, thing in vars(found).items() if callable(thing) and not n.startswith("_")]
        raise ValueError(f"{place}.{TARGET}: there is no {name!r} in {module}.{near(name, names)}")
    return typing.cast("Callable[..., Any]", target)
