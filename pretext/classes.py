"""Classes that a file of unknown origin names: none is imported for it from outside this package."""

from __future__ import annotations

import inspect
import sys
from typing import TypeVar

Kind = TypeVar("Kind")


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
    own = f"{kind.__module__}.{kind.__qualname__}" == path and module.partition(".")[0] != "pretext"
    return kind if own else None
