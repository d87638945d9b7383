"""What is written of a module of somebody's own: code of its classes, and plain values that it holds."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import dis
import enum
import functools
import inspect
import numbers
import sys
import sysconfig
import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace

import numpy as np
import torch
from torch import nn

PACKAGES = frozenset({"site-packages", "dist-packages"})
LIBRARIES = (Path(sysconfig.get_path("stdlib")).resolve(), Path(__file__).resolve().parents[1])
"""Folders, beside those of these names, whose code is no one's own: a version of it is told by its effect."""

OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that modules have whatever they are; among them the mode."""

DEEPEST, MOST = 4, 1000
"""Collections in collections that are read, and entries of one; of a longer one its length is."""

UNREAD = "?"


def read(module: nn.Module) -> dict[str, str]:
    """What is written of a module and of those in it, by the places where it stands.

    Of the classes, but for those of installed packages and of this one: methods without their comments,
    constants, and what these take from around them, plain values and functions, which are read alike. Of the
    attributes: numbers and yes or no; those that one's own code speaks of also where they are names (no
    paths), functions, and collections of all these. Whatever else libraries hold says where a module came
    from as often as what it does.
    """
    own = {base for each in module.modules() for base in type(each).__mro__ if not _installed(base)}
    return {**_code(module, own), **_held(module, own)}


def _code(module: nn.Module, own: Iterable[type]) -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for base in own:
        for name, text in _members(base):
            found[f"{base.__qualname__}.{name}"].append(text)
    for each in module.modules():
        if isinstance(each, torch.jit.ScriptModule | torch.fx.GraphModule) and (text := _generated(each)):
            found["generated"].append(text)
    return {name: str(sorted(texts)) for name, texts in found.items()}  # classes of one name in any order


def _held(module: nn.Module, own: set[type]) -> dict[str, str]:
    found: dict[str, str] = {}
    methods = [member for base in own for _, member in _unbound(base) if isinstance(member, FunctionType)]
    spoken_of = {name for method in methods for name in _names(method.__code__)}
    for place, each in module.named_modules():
        plainly = not own.isdisjoint(type(each).__mro__)
        for name, value in list(vars(each).items()):
            mine = plainly and name in spoken_of
            if name in OF_EVERY_MODULE or (name.startswith("_") and not mine):
                continue
            if (text := _told(value, mine)) is not None:
                found[f"{place}.{name} is"] = text
    return found


def _installed(kind: type) -> bool:
    """Whether a class lies in a package: what was typed, or is in a file that was run, does not."""
    if kind.__module__ == "__main__" or kind.__module__ not in sys.modules:
        return False
    try:
        return _of_library(inspect.getfile(kind))
    except (TypeError, OSError):  # of C
        return True


def _of_library(place: str) -> bool:
    path = Path(place).resolve()
    return (
        place.startswith("<frozen")
        or not PACKAGES.isdisjoint(path.parts)
        or any(folder in path.parents for folder in LIBRARIES)
    )


def _unbound(kind: type) -> Iterator[tuple[str, object]]:
    """What stands in a class, by name, and the functions within what is put around them there."""
    for name, member in vars(kind).items():
        match member:
            case property():
                yield name, member.fget
            case staticmethod() | classmethod():
                yield name, member.__func__
            case functools.cached_property():
                yield name, member.func
            case _:
                yield name, member


def _members(kind: type) -> Iterator[tuple[str, str]]:
    for name, member in _unbound(kind):
        if isinstance(member, FunctionType) or not name.startswith("__"):
            text = _told(member, True)
            if text is not None:
                yield name, text


def _told(value: object, own: bool) -> str | None:
    """As `_plain`; None too of what cannot be read: such objects raise whatever they like."""
    try:
        return _plain(value, own, set(), 0)
    except Exception:
        return None


def _plain(value: object, own: bool, seen: set[int], depth: int) -> str | None:
    """A value in words that any process says alike; None of what has none, and of None.

    Args:
        own: whether one's own code speaks of it. seen: addresses of functions that were read before.
        depth: of collections that it lies in.
    """
    if isinstance(value, numbers.Number | np.generic):  # bool among them
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, list | tuple):
        return _several(value, own, seen, depth)
    return _word(value, seen, depth) if own else None


def _word(value: object, seen: set[int], depth: int) -> str | None:
    match value:
        case str():
            return None if "/" in value or "\\" in value else repr(value)
        case bytes() | torch.dtype() | slice():
            return repr(value)
        case enum.Enum():
            return f"{type(value).__qualname__}.{value.name}"
        case set() | frozenset() | Mapping():  # in whatever order
            return _several(value, True, seen, depth)
        case argparse.Namespace() | SimpleNamespace():
            return _several(vars(value), True, seen, depth)
        case FunctionType():
            return _function(value, seen)
        case MethodType() if isinstance(value.__func__, FunctionType):
            return _function(value.__func__, seen)
        case BuiltinFunctionType():
            return value.__qualname__
        case functools.partial():
            parts = (value.func, value.args, value.keywords)
            return f"partial {[_plain(part, True, seen, depth) for part in parts]}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return _several({name: getattr(value, name, None) for name in fields}, True, seen, depth)
    return None


def _several(values: Collection[object], own: bool, seen: set[int], depth: int) -> str | None:
    """The words of a collection; None where nothing in it has any."""
    if len(values) > MOST or depth > DEEPEST:
        return f"{len(values)} entries"

    def word(value: object) -> str:
        return _plain(value, own, seen, depth + 1) or UNREAD

    words = [word(each) for each in (values.values() if isinstance(values, Mapping) else values)]
    if all(each == UNREAD for each in words):
        return None
    if isinstance(values, Mapping):
        words = [f"{word(key)}: {each}" for key, each in zip(values, words, strict=True)]
    return str(words) if isinstance(values, list | tuple) else str(sorted(words))


def _function(function: FunctionType, seen: set[int]) -> str:
    """The text of a function of one's own, of what it takes from around it and of what it is put around."""
    if id(function) in seen:
        return function.__qualname__
    seen.add(id(function))
    inner = function.__dict__.get("__wrapped__")
    within = _function(inner, seen) if isinstance(inner, FunctionType) else ""
    if _of_library(function.__code__.co_filename):
        return f"{function.__module__}.{function.__qualname__} {within}"
    words = {name: _plain(value, True, seen, 0) for name, value in _around(function)}
    return f"{_text(function)} {[pair for pair in words.items() if pair[1] is not None]} {within}"


def _around(function: FunctionType) -> Iterator[tuple[str, object]]:
    """What a function takes from its file, from the function that it stands in, and by default."""
    for name in sorted(_globals(function.__code__)):
        value = function.__globals__.get(name)
        if not isinstance(value, ModuleType):
            yield name, value
        elif not _of_library(getattr(value, "__file__", None) or "<frozen"):
            taken = sorted(_names(function.__code__) & vars(value).keys())
            yield from ((f"{name}.{inner}", vars(value)[inner]) for inner in taken)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{name} of a function", cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue
    yield "by default", function.__defaults__
    yield "by default, named", function.__kwdefaults__


def _globals(made: CodeType) -> set[str]:
    found = {one.argval for one in dis.get_instructions(made) if one.opname == "LOAD_GLOBAL"}
    return found.union(*(_globals(inner) for inner in made.co_consts if isinstance(inner, CodeType)))


def _names(made: CodeType) -> set[str]:
    """Names that code speaks of, of attributes and of what lies in modules."""
    return {*made.co_names}.union(*(_names(inner) for inner in made.co_consts if isinstance(inner, CodeType)))


def _text(function: FunctionType) -> str:
    """Its source without comments; where there is none of it alone, its instructions."""
    made = function.__code__
    if made.co_name == "<lambda>":  # whose line has more than itself
        return _instructions(made)
    try:
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(made))))
    except (OSError, TypeError, SyntaxError):
        return _instructions(made)


def _instructions(made: CodeType) -> str:
    return f"{made.co_code.hex()} {made.co_names} {list(map(_constant, made.co_consts))}"


def _constant(value: object) -> str:
    if isinstance(value, frozenset):
        return str(sorted(map(_constant, value)))
    return _instructions(value) if isinstance(value, CodeType) else repr(value)


def _generated(module: nn.Module) -> str:
    try:
        return str(module.code)
    except RuntimeError:  # a scripted module without a forward
        return ""
