"""Frozen dataclasses to and from plain JSON, with nothing let through that does not belong.

msgspec holds values to their types: no missing or unknown field, no bool and no float for an int. What it
does not say is done here: numbers are finite, free mappings hold plain JSON, and an error names the dotted
path to the value, and the value.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

T = TypeVar("T")

JSON = dict[str, Any]
"""A free mapping of strings to plain JSON, as resolved configurations are."""

_TOLD = re.compile(r"(?P<problem>.*?)(?: - at `\$(?P<path>.*)`)?", re.S)
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = frozenset({int, bool, type(None)})
"""What needs no look at its value."""
_SCALARS = _PLAIN | {float, str}
"""What holds no other value."""


class FieldError(ValueError):
    """A value that does not fit its field; `field` is the dotted path to it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field, self.problem = field, problem


def to_plain(value: Any) -> Any:
    """Dataclasses to dicts, tuples to lists; the result is plain JSON."""
    if type(value) in _SCALARS:  # most values are, of thousands
        return value
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
    for path, problem in _not_plain(value):
        raise FieldError((where + path).lstrip("."), problem)
    of: Any = kind
    try:
        return typing.cast("T", build(of)(msgspec.convert(value, wire(of))))
    except msgspec.ValidationError as error:
        path, problem = _explained(kind, value, str(error))
        raise FieldError((where + path).lstrip("."), problem) from None


def check(instance: Any, where: str = "") -> None:
    """Hold the fields of a dataclass instance to their types, as `from_plain` would.

    Raises:
        FieldError: the first field that does not fit.
    """
    from_plain(type(instance), to_plain(instance), where)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


@functools.cache
def wire(kind: Any, **instead: Any) -> type[msgspec.Struct]:
    """The struct with the fields of a dataclass that msgspec reads, and which refuses every other field.

    Args:
        instead: types of fields that are read as another than their own.
    """
    hints = _hints(kind) | instead
    fields = [(name, _wired(hint)) for name, hint in hints.items()]
    return msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=True, frozen=True)


@functools.cache
def build(kind: Any) -> Callable[[Any], Any]:
    """What makes the dataclass of its struct."""
    inner = {name: build(own) for name, hint in _hints(kind).items() if (own := dataclass_in(hint))}

    def made(struct: Any) -> Any:
        values = msgspec.structs.asdict(struct)
        for name, make in inner.items():
            if values[name] is not None:
                values[name] = make(values[name])
        return _filled(kind, values)

    return made


def _filled(kind: type[T], values: dict[str, Any]) -> T:
    """The dataclass with these values of all its fields.

    Its `__init__` would set those of a frozen one by one, which took a quarter of the time of reading many.
    """
    made = object.__new__(kind)
    made.__dict__.update(values)
    return made


class Reader(Generic[T]):
    """Reads many JSON objects as one dataclass, of which some fields are often alike.

    Bytes that are the same are read, held to their type and made once, so that such fields of several objects
    are one object: nobody may change what it holds. So are free mappings in other fields.

    Args:
        kind: the dataclass; its fields are dataclasses, or plain.
        alike: fields that are dataclasses and mostly the same.
    """

    def __init__(self, kind: type[T], alike: Sequence[str]) -> None:
        of: Any = kind
        made = {name: _Made(hint) for name, hint in _hints(of).items() if dataclasses.is_dataclass(hint)}
        read = {name: msgspec.Raw if name in alike else made[name].wire for name in made}
        outer: Any = wire(of, **read)
        self._one, self._list = _decoder(outer), _decoder(list[outer])
        self._kind = kind
        self._makers = {name: own.once if name in alike else own.of for name, own in made.items()}

    def one(self, content: bytes) -> T:
        """The object of some JSON.

        Raises:
            msgspec.MsgspecError: not JSON, or not of this kind; `from_plain` says what is wrong.
            RecursionError: nested too deeply.
        """
        return self._build(self._one.decode(content))

    def all(self, content: bytes) -> list[T]:
        """The objects of a JSON list; raises as `one`."""
        return [self._build(each) for each in self._list.decode(content)]

    def _build(self, struct: Any) -> T:
        values = msgspec.structs.asdict(struct)
        for name, make in self._makers.items():
            values[name] = make(values[name])
        return _filled(self._kind, values)


class _Made:
    """What makes one dataclass of its struct, or of its JSON; the same bytes once."""

    def __init__(self, kind: Any) -> None:
        free = [name for name, hint in _hints(kind).items() if hint == JSON]
        self.wire: Any = wire(kind, **dict.fromkeys(free, msgspec.Raw))
        self._free = free
        self._kind, self._build = kind, build(kind)
        self._known: dict[bytes, Any] = {}
        self._mappings: dict[bytes, dict[str, Any]] = {}

    def of(self, struct: Any) -> Any:
        """The dataclass of a struct."""
        if not self._free:
            return self._build(struct)
        values = msgspec.structs.asdict(struct)
        for name in self._free:
            content = bytes(values[name])
            if (mapping := self._mappings.get(content)) is None:
                mapping = self._mappings[content] = _decoder(JSON).decode(content)
            values[name] = mapping
        return _filled(self._kind, values)

    def once(self, raw: msgspec.Raw) -> Any:
        """The dataclass of some JSON."""
        content = bytes(raw)
        if (made := self._known.get(content)) is None:
            made = self._known[content] = self.of(_decoder(self.wire).decode(content))
        return made


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _wired(hint: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return wire(typing.cast("Any", hint))
    if get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(_wired(option) for option in get_args(hint))]  # noqa: UP007 (options are a tuple)
    return hint


def dataclass_in(hint: Any) -> Any:
    """The dataclass that a field holds, or may hold beside None."""
    found: list[Any] = [option for option in (hint, *get_args(hint)) if dataclasses.is_dataclass(option)]
    return found[0] if found else None


def _not_plain(value: Any) -> Iterator[tuple[str, str]]:
    """Path and problem of everything that JSON has no form for."""
    if type(value) is str:
        if not _in_utf8(value):
            yield "", f"expected text that has a form in UTF-8, got {_shown(value)}"
    elif type(value) in _PLAIN:
        return
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not _in_utf8(key):
                yield "", f"expected string keys, got {_shown(key)}"
            for path, problem in _not_plain(item):
                yield f".{key}{path}", problem
    elif isinstance(value, list):
        for place, item in enumerate(value):
            for path, problem in _not_plain(item):
                yield f"[{place}]{path}", problem
    elif type(value) is not float:
        yield "", f"expected plain JSON, got {_shown(value)}"
    elif not math.isfinite(value):
        yield "", f"expected a finite number, got {value}"


def _in_utf8(text: str) -> bool:
    return text.isascii() or _SURROGATE.search(text) is None


def _explained(kind: Any, value: Any, told: str) -> tuple[str, str]:
    """Path and problem of what msgspec told; it names no value, nor the key of a mapping."""
    found = _TOLD.fullmatch(told)
    assert found is not None
    steps: list[str | int] = []
    at = value
    for name, place in _STEP.findall(found["path"] or ""):
        step = name or (_culprit(kind, value, steps, at) if place == "..." else int(place))
        steps.append(step)
        at = at[step]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    if found["problem"].startswith("Object "):
        return path, _other_fields(kind, steps, at)
    problem = found["problem"].replace("`", "").replace(" | ", " or ").partition(", got ")[0]
    return path, f"{problem[0].lower()}{problem[1:]}, got {_shown(at)}"


def _culprit(kind: Any, value: Any, steps: list[str | int], mapping: Mapping[str, Any]) -> str:
    """The first key of a mapping that is refused when it stands there alone."""
    for key, item in mapping.items():
        try:
            msgspec.convert(_with(value, steps, {key: item}), wire(kind))
        except msgspec.ValidationError:
            return key
    raise AssertionError(f"nothing is wrong with {mapping}")


def _with(value: Any, steps: list[str | int], new: Any) -> Any:
    """The same value with another at a path."""
    if not steps:
        return new
    changed = value.copy()
    changed[steps[0]] = _with(value[steps[0]], steps[1:], new)
    return changed


def _other_fields(kind: Any, steps: list[str | int], value: Mapping[str, Any]) -> str:
    for step in steps:
        kind = dataclass_in(_hints(kind)[str(step)])
    known = [field.name for field in dataclasses.fields(kind)]
    missing = [name for name in known if name not in value]
    unknown = [name for name in value if name not in known]
    if missing:
        return f"missing field{'s' * (len(missing) > 1)} {', '.join(missing)}"
    return f"unknown field{'s' * (len(unknown) > 1)} {', '.join(unknown)}; known: {', '.join(known)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'…' * (len(text) > 60)}"
