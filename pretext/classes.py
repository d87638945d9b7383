"""Classes that a file of unknown origin names: none is imported for it from outside this package."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from typing import TypeVar

Kind = TypeVar("Kind")

TARGET = "_target_"
"""The key of a plain description under which the path of a class stands, beside its arguments."""


def class_path(kind: type) -> str:
    """The dotted path of a class, by which `named` finds it again."""
    return f"{kind.__module__}.{kind.__qualname__}"


def named(path: str, contract: type[Kind], package: str) -> type[Kind] | None:
    """The class of that path, `package.<module>.<Class>` or one of one's own that is at hand; else None.

    Args:
        contract: what it must be a class of. package: from which modules are imported for it.
    """
    if (own := at_hand(path, contract)) is not None:
        return own
    match = re.fullmatch(rf"{re.escape(package)}\.([a-z0-9_]+)\.([A-Za-z0-9_]+)", path, flags=re.ASCII)
    if match is None:
        return None
    try:
        kind = getattr(import_module(f"{package}.{match[1]}"), match[2], None)
    except ModuleNotFoundError:
        return None
    return (
        kind if isinstance(kind, type) and issubclass(kind, contract) and class_path(kind) == path else None
    )


def at_hand(path: str, contract: type[Kind]) -> type[Kind] | None:
    """The class of one's own of that dotted path, where this process has defined it already; else None.

    A configuration that names it by `_target_` has imported its module; a file never does.

    Args:
        contract: what it must be a concrete class of.
    """
    module, _, name = path.rpartition(".")
    kind = getattr(sys.modules.get(module), name, None)
    if not isinstance(kind, type) or not issubclass(kind, contract) or inspect.isabstract(kind):
        return None
    own = class_path(kind) == path and module.partition(".")[0] != "pretext"
    return kind if own else None
