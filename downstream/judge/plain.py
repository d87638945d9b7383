"""Frozen dataclasses to and from plain JSON, with nothing let through that does not belong."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, Union, get_args, get_origin

T = TypeVar("T")

JSON = dict[str, Any]
"""A free mapping of strings to plain JSON, as resolved configurations are."""


class FieldError(ValueError):
    """A value that does not fit its field; `field` is the dotted path to it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field, self.problem = field, problem

    def within(self, where: str) -> FieldError:
        """The same error, told from what holds the value at `where`."""
        return FieldError(where + self.field, self.problem)


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
    try:
        return typing.cast("T", _reader(typing.cast("Any", kind))(value))
    except FieldError as error:
        raise FieldError((where + error.field).lstrip("."), error.problem) from None


def check(instance: Any, where: str = "") -> None:
    """Hold the fields of a dataclass instance to their types, as `from_plain` would.

    Raises:
        FieldError: the first field that does not fit.
    """
    from_plain(type(instance), to_plain(instance), where)


@functools.cache
def _reader(hint: Any) -> Callable[[Any], Any]:
    """What reads a value of a type: made once for each, as tables are made of thousands of records.

    It raises FieldError with the path from the value on; whatever holds the value puts its own before it.
    """
    origin = get_origin(hint)
    if hint is Any:
        return _free
    if origin in (Union, types.UnionType):
        return _union_reader(hint)
    if origin is tuple:
        return _tuple_reader(hint)
    if origin is dict:
        return _dict_reader(_reader(get_args(hint)[1]))
    if dataclasses.is_dataclass(hint):
        return _dataclass_reader(typing.cast("type[Any]", hint))
    return _float if hint is float else _scalar_reader(hint)


def _dataclass_reader(kind: type[Any]) -> Callable[[Any], Any]:
    readers = {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            expected = f"expected an object with the fields of {kind.__name__}"
            raise FieldError("", f"{expected}, got {_shown(value)}")
        if value.keys() != readers.keys():
            raise FieldError("", _other_fields(value, readers))
        found, name = {}, ""
        try:
            for name, reader in readers.items():
                found[name] = reader(value[name])
        except FieldError as error:
            raise error.within(f".{name}") from None
        return kind(**found)

    return read


def _other_fields(value: dict[str, Any], known: Iterable[str]) -> str:
    missing = [name for name in known if name not in value]
    unknown = [name for name in value if name not in known]
    if missing:
        return f"missing field{'s' * (len(missing) > 1)} {', '.join(missing)}"
    return f"unknown field{'s' * (len(unknown) > 1)} {', '.join(unknown)}; known: {', '.join(known)}"


def _dict_reader(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_dict(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise FieldError("", f"expected an object, got {_shown(value)}")
        found, key = {}, ""
        try:
            for key, item in value.items():
                found[key] = read(item)
        except FieldError as error:
            raise error.within(f".{key}") from None
        return found

    return read_dict


def _tuple_reader(hint: Any) -> Callable[[Any], Any]:
    kinds = get_args(hint)
    same = _reader(kinds[0]) if len(kinds) == 2 and kinds[1] is Ellipsis else None
    each = [] if same else [_reader(kind) for kind in kinds]

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise FieldError("", f"expected a list, got {_shown(value)}")
        readers = [same] * len(value) if same else each
        if len(readers) != len(value):
            raise FieldError("", f"expected {len(readers)} entries, got {len(value)}")
        found: list[Any] = []
        try:
            for reader, item in zip(readers, value, strict=True):
                found.append(reader(item))  # its length is the place of an error
        except FieldError as error:
            raise error.within(f"[{len(found)}]") from None
        return tuple(found)

    return read


def _union_reader(hint: Any) -> Callable[[Any], Any]:
    options = get_args(hint)
    kinds = {kind: _reader(kind) for kind in options if kind is not type(None)}
    optional = len(kinds) < len(options)
    only = next(iter(kinds.values())) if len(kinds) == 1 else None

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        if (exact := kinds.get(type(value))) is not None:  # int before float, exactly as it was written
            return exact(value)
        if only is not None:
            return only(value)
        raise FieldError("", f"expected {' or '.join(k.__name__ for k in kinds)}, got {_shown(value)}")

    return read


def _float(value: Any) -> float:
    if type(value) is int:
        return float(value)
    if type(value) is not float:
        raise FieldError("", f"expected float, got {_shown(value)}")
    if not math.isfinite(value):
        raise FieldError("", f"expected a finite number, got {value}")
    return value


def _scalar_reader(kind: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:  # bool is an int to isinstance
            raise FieldError("", f"expected {getattr(kind, '__name__', kind)}, got {_shown(value)}")
        return value

    return read


def _free(value: Any) -> Any:
    """Plain JSON of any shape, as it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return _free_dict(value)
    return _free_list(value) if isinstance(value, list) else _float(value)


_PLAIN = frozenset({str, int, bool, type(None)})
"""What needs no look at its value."""


def _free_dict(value: dict[Any, Any]) -> Any:
    for key, item in value.items():
        if not isinstance(key, str):
            raise FieldError("", f"expected string keys, got {_shown(key)}")
        if type(item) not in _PLAIN:
            try:
                _free(item)
            except FieldError as error:
                raise error.within(f".{key}") from None
    return value


def _free_list(value: list[Any]) -> Any:
    for place, item in enumerate(value):
        if type(item) not in _PLAIN:
            try:
                _free(item)
            except FieldError as error:
                raise error.within(f"[{place}]") from None
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'…' * (len(text) > 60)}"
