"""Frozen dataclasses to and from plain JSON, with nothing let through that does not belong."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, TypeVar, Union, get_args, get_origin

T = TypeVar("T")

JSON = dict[str, Any]
"""A free mapping of strings to plain JSON, as resolved configurations are."""


class FieldError(ValueError):
    """A value that does not fit its field; `field` is the dotted path to it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


def to_plain(value: Any) -> Any:
    """Dataclasses to dicts, tuples to lists; the result is plain JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def from_plain(kind: type[T], value: Any, where: str = "") -> T:
    """Build the dataclass `kind` from parsed JSON.

    Raises:
        FieldError: a missing or unknown field, a wrong type, a number that is not finite.
    """
    if not isinstance(value, dict):
        raise FieldError(where, f"expected an object with the fields of {kind.__name__}, got {_shown(value)}")
    hints = typing.get_type_hints(kind)
    missing = [name for name in hints if name not in value]
    unknown = [name for name in value if name not in hints]
    if missing:
        raise FieldError(where, f"missing field{'s' * (len(missing) > 1)} {', '.join(missing)}")
    if unknown:
        listed = ", ".join(hints)
        raise FieldError(
            where, f"unknown field{'s' * (len(unknown) > 1)} {', '.join(unknown)}; known: {listed}"
        )
    inner = {name: _value(hint, value[name], f"{where}.{name}".lstrip(".")) for name, hint in hints.items()}
    return kind(**inner)


def check(instance: Any, where: str = "") -> None:
    """Hold the fields of a dataclass instance to their types, as `from_plain` would.

    Raises:
        FieldError: the first field that does not fit.
    """
    from_plain(type(instance), to_plain(instance), where)


def _value(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return _free(value, where)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(hint, value, where)
    if origin is tuple:
        return _tuple(hint, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise FieldError(where, f"expected an object, got {_shown(value)}")
        return {key: _value(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast("type[Any]", hint), value, where)
    return _scalar(hint, value, where)


def _tuple(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise FieldError(where, f"expected a list, got {_shown(value)}")
    kinds = get_args(hint)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise FieldError(where, f"expected {len(kinds)} entries, got {len(value)}")
    return tuple(
        _value(k, item, f"{where}[{i}]") for i, (k, item) in enumerate(zip(kinds, value, strict=True))
    )


def _union(hint: Any, value: Any, where: str) -> Any:
    options = get_args(hint)
    if value is None and type(None) in options:
        return None
    kinds = [k for k in options if k is not type(None)]
    for kind in kinds:
        if type(value) is kind:  # int before float, exactly as it was written
            return _scalar(kind, value, where)
    if len(kinds) == 1:
        return _value(kinds[0], value, where)
    raise FieldError(where, f"expected {' or '.join(k.__name__ for k in kinds)}, got {_shown(value)}")


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # bool is an int to isinstance
        raise FieldError(where, f"expected {getattr(kind, '__name__', kind)}, got {_shown(value)}")
    if kind is float and not math.isfinite(value):
        raise FieldError(where, f"expected a finite number, got {value}")
    return value


def _free(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise FieldError(where, f"expected string keys, got {_shown(key)}")
        return {key: _free(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_free(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if value is None or type(value) in (bool, int, str):
        return value
    return _scalar(float, value, where)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'…' * (len(text) > 60)}"
