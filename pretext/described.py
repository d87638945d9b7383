"""Things in words: a name, and the arguments that are not as they would be without being said."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any


def described(name: str, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Name what was made: "SmallNet", "TimmNet(model='convnext_atto')", "lightness(scale=1)".

    Args:
        arguments, defaults: plain values; arguments that equal their default are left out, so that an option
            that is added later leaves older descriptions as they are.
    """
    own = chosen(arguments, defaults)
    return f"{name}({', '.join(f'{key}={own[key]!r}' for key in sorted(own))})" if own else name


def chosen(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are not as they would be without being said, as plain JSON values."""
    plain, usual = (plainly(json.loads(json.dumps(dict(values)))) for values in (arguments, defaults))
    return {key: value for key, value in plain.items() if key not in usual or usual[key] != value}


def defaults(constructor: Callable[..., Any]) -> dict[str, Any]:
    """Arguments of a constructor that need not be given, with their values."""
    given = inspect.signature(constructor).parameters.values()
    return {p.name: p.default for p in given if p.default is not inspect.Parameter.empty}


def budget(epochs: int, epoch_batches: int | None, batch_size: int) -> str:
    """What a training is given: "4 epochs", or "100 epochs of 200000 images"; empty for no training.

    Args:
        epoch_batches: batches an epoch, where one is not the whole set.
    """
    if not epochs:
        return ""
    size = f" of {epoch_batches * batch_size} images" if epoch_batches else ""
    return f"{epochs} {'epoch' if epochs == 1 else 'epochs'}{size}"


def plainly(value: Any) -> Any:
    """JSON values in which numbers that are equal are the same number: 1.0 is 1."""
    if isinstance(value, dict):
        return {key: plainly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plainly(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
