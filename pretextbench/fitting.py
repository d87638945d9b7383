"""Whether a value of the configuration fits a type and a range, and what is said where it does not."""

from __future__ import annotations

import json
import re
import types
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

RULES = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = frozenset(
    {"type", "parsing", "missing", "from_float", "extra", "long", "short", "instance", "python"}
)


def fit(hint: Any, value: Any, key: str) -> None:
    """Hold a plain value to a type hint, strictly: no text for a number, no fraction for a whole one, no NaN.

    Args:
        hint: of anything that pydantic knows; a list stands for a tuple, a name for an enumeration's member,
            classes of other libraries fit nothing. A hint that pydantic does not know holds nothing.
        value: scalars, lists and dicts. key: dotted, for the message.

    Raises:
        ValueError: a value of another kind or out of its range; the message names key, kind and value.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=RULES)
    except (PydanticUserError, SchemaError):
        try:
            adapter = TypeAdapter(hint)  # a class has rules of its own
        except (PydanticUserError, SchemaError):
            return
    try:
        # Bytes of a path that are no text, as Python hands them through, are no JSON: unprintable either way.
        adapter.validate_json(_SURROGATE.sub("\ue000", json.dumps(value, ensure_ascii=False)), strict=True)
    except ValidationError as error:
        raise ValueError(_said(error, hint, value, key)) from None


def shown(hint: Any) -> str:
    """A type as it is written in YAML: lists in brackets, no modules, no classes that it cannot hold."""
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if not _foreign(kind)]
        return " or ".join(dict.fromkeys(shown(kind) for kind in kinds))
    if hint is type(None):
        return "null"
    if hint is Ellipsis:
        return "…"
    if get_origin(hint) is not None and hasattr(hint, "__metadata__"):
        return shown(get_args(hint)[0])
    if get_origin(hint) in (tuple, list) or getattr(get_origin(hint), "__name__", "") == "Sequence":
        inner = [shown(kind) for kind in get_args(hint)]
        return f"[{', '.join(inner)}]" if get_origin(hint) is tuple else f"[{inner[0]}, …]"
    named = hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint)
    return re.sub(r"(?:\w+\.)+", "", named)


def _foreign(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__module__.partition(".")[0] == "torch"


def _said(error: ValidationError, hint: Any, value: Any, key: str) -> str:
    """One line: of what is deepest where the range is wrong, of the whole where the type is."""
    found = error.errors(include_url=False)
    first = next((each for each in found if each["type"] == "finite_number"), found[0])
    of_range = not any(word in first["type"].split("_") for word in _KINDS)
    if of_range and (len(found) == 1 or first["type"] == "finite_number"):
        steps = first["loc"] if len(found) == 1 else [step for step in first["loc"] if isinstance(step, int)]
        where = ".".join([key, *map(str, steps)]).strip(".")
        words = first["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
        joint = " " if words.startswith("must") else ": "
        return f"{where}{joint}{words}; it is {json.dumps(first['input'], ensure_ascii=False)}"
    return f"{key} must be {shown(hint)}; it is {json.dumps(value, ensure_ascii=False)}"
