"""What is written of a module of somebody's own: code of its classes, and plain values that it holds."""

from __future__ import annotations

import ast
import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import numbers
import sys
import sysconfig
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType

import numpy as np
import torch
from torch import nn

INSTALLED = (
    *(Path(place).resolve() for place in map(sysconfig.get_path, ("purelib", "platlib", "stdlib"))),
    Path(__file__).resolve().parents[1],
)
"""Folders whose code is no one's own: a version of it is told by its effect."""

OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that modules have whatever they are; among them the mode."""


def code(module: nn.Module) -> str:
    """Digest of what its classes say, but for those of installed packages and of this one.

    That is methods without their comments, constants, and what these take from around them: plain values and
    functions, which are read alike.
    """
    bases = {base for each in module.modules() for base in type(each).__mro__}
    own = [base for base in bases if not _installed(base)]
    found, seen = hashlib.sha256(), set[int]()
    for base in sorted(own, key=lambda base: (base.__module__, base.__qualname__)):
        for name, text in sorted(_members(base, seen)):
            found.update(f"{base.__qualname__}.{name}: {text}\n".encode())
    for each in module.modules():  # of what was traced, scripted or exported
        if isinstance(generated := _generated(each), str):
            found.update(generated.encode())
    return found.hexdigest()


def held(module: nn.Module) -> dict[str, str]:
    """Plain attributes of a module and of those in it, by place and name: numbers and yes or no.

    Of classes of one's own also names (no paths), functions, and collections of all these. What libraries
    hold besides says where a module came from as often as what it does.
    """
    found, seen = dict[str, str](), set[int]()
    for place, each in module.named_modules():
        own = not _installed(type(each))
        for name, value in vars(each).items():
            if name in OF_EVERY_MODULE or (name.startswith("_") and not own):
                continue
            if (text := _told(value, own, seen)) is not None:
                found[f"{place}.{name}"] = text
    return found


def _installed(kind: type | FunctionType) -> bool:
    """Whether it lies in a package: what was typed, or is in a file that was run, does not."""
    if isinstance(kind, type):
        if kind.__module__ == "__main__" or kind.__module__ not in sys.modules:
            return False
        try:
            place = inspect.getfile(kind)
        except (TypeError, OSError):  # of C
            return True
    else:
        place = kind.__code__.co_filename
    resolved = Path(place).resolve()
    return place.startswith("<frozen") or any(folder in resolved.parents for folder in INSTALLED)


def _members(kind: type, seen: set[int]) -> Iterator[tuple[str, str]]:
    for name, member in vars(kind).items():
        member = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
        if isinstance(member, FunctionType) or not name.startswith("__"):
            text = _told(member, True, seen)
            if text is not None:
                yield name, text


def _told(value: object, own: bool, seen: set[int]) -> str | None:
    """As `_plain`; None too of what holds itself."""
    try:
        return _plain(value, own, seen)
    except RecursionError:
        return None


def _plain(value: object, own: bool, seen: set[int]) -> str | None:
    """A value in words that any process says alike; None of what has none.

    Args:
        own: whether it is of a class of one's own. seen: addresses of functions that were read before.
    """
    if value is None or isinstance(value, numbers.Number | np.generic):  # bool among them
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, list | tuple):
        return _all((_plain(each, own, seen) for each in value), type(value).__name__)
    return _word(value, seen) if own else None


def _word(value: object, seen: set[int]) -> str | None:
    match value:
        case str():
            return None if "/" in value or "\\" in value else repr(value)
        case bytes() | torch.dtype() | slice():
            return repr(value)
        case enum.Enum():
            return f"{type(value).__qualname__}.{value.name}"
        case set() | frozenset():  # whose order is another in each process
            words = [_plain(each, True, seen) for each in value]
            return None if None in words else f"set{sorted(map(str, words))}"
        case Mapping():
            return _all((_plain(each, True, seen) for pair in value.items() for each in pair), "map")
        case FunctionType():
            return _function(value, seen)
        case BuiltinFunctionType():
            return value.__qualname__
        case functools.partial():
            return _plain((value.func, value.args, value.keywords), True, seen)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return _plain({name: getattr(value, name, None) for name in fields}, True, seen)
    return None


def _all(words: Iterable[str | None], what: str) -> str | None:
    every = list(words)
    return None if None in every else f"{what}{every}"


def _function(function: FunctionType, seen: set[int]) -> str:
    """The text of a function of one's own, and of what it takes from around it; else its name."""
    function = inspect.unwrap(function)
    name = f"{function.__module__}.{function.__qualname__}"
    if _installed(function):
        return name
    if id(function) in seen:
        return function.__qualname__
    seen.add(id(function))
    words = {name: _plain(value, True, seen) for name, value in sorted(_around(function))}
    return f"{_text(function)} {[pair for pair in words.items() if pair[1] is not None]}"


def _around(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Names that a function takes from its file, from the function that it stands in, and by default."""
    for name in _globals(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{name} of a function", cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue
    yield "by default", (function.__defaults__, function.__kwdefaults__)


def _globals(made: CodeType) -> set[str]:
    found = {one.argval for one in dis.get_instructions(made) if one.opname == "LOAD_GLOBAL"}
    return found.union(*(_globals(inner) for inner in made.co_consts if isinstance(inner, CodeType)))


def _text(function: FunctionType) -> str:
    """Its source without comments; where there is none of it alone, its instructions."""
    try:
        if function.__name__ == "<lambda>":
            raise SyntaxError("a lambda's line has more than itself")
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):
        return _instructions(function.__code__)


def _instructions(made: CodeType) -> str:
    return f"{made.co_code.hex()} {made.co_names} {list(map(_constant, made.co_consts))}"


def _constant(value: object) -> str:
    if isinstance(value, frozenset):
        return str(sorted(map(_constant, value)))
    return _instructions(value) if isinstance(value, CodeType) else repr(value)


def _generated(module: nn.Module) -> object:
    try:
        return getattr(module, "code", None)
    except RuntimeError:  # a scripted module without a forward
        return None
