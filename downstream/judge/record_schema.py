"""The form of a record as a JSON Schema, for who reads or writes records with something else than this.

Types and ranges are those that msgspec holds records to, meanings those of the docstrings of
`downstream.judge.records`. What a schema has no words for (a key of one field among the keys of another, rows
of a digest) is checked by the reader alone.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import typing
from typing import Any

import msgspec

from downstream.judge.plain import wire
from downstream.judge.records import SCHEMA, Record
from downstream.protocol import FRACTION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LEAST, LARGEST = (-1, 0), (1, 2, 100)
"""Ends of ranges that values are held to; a schema cannot compare two values of a record in general."""

_ENTRY = re.compile(r" {4}(?P<names>\w+(?:, \w+)*): (?P<text>.*)")
_ANCHORED = re.compile(r"\\A(?P<inner>.*)\\Z")


def record_schema() -> dict[str, Any]:
    """The JSON Schema of one record, one line of JSON Lines."""
    kind: Any = Record
    (top,), parts = msgspec.json.schema_components([wire(kind)], ref_template="#/$defs/{name}")
    for part in _parts(kind):
        _describe(parts[part.__name__], part)
    whole = parts.pop(top["$ref"].rpartition("/")[2])
    whole["properties"]["schema"]["const"] = SCHEMA
    parts["Result"]["allOf"] = _ranges()
    return {
        "$schema": DIALECT,
        **whole,
        "title": f"A record of pretextbench, schema {SCHEMA}: one line of JSON Lines",
        "$defs": dict(sorted(parts.items())),
    }


def written() -> str:
    """The content of the published schema."""
    return json.dumps(record_schema(), indent=1, ensure_ascii=False) + "\n"


def meanings(kind: type) -> dict[str, str]:
    """What each field of a dataclass means, by the `Attributes` of its docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].splitlines():
        if entry := _ENTRY.fullmatch(line):
            names = entry["names"].split(", ")
            found |= dict.fromkeys(names, entry["text"])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _parts(kind: Any) -> list[Any]:
    """A dataclass and those that its fields hold, or may hold."""
    found = [kind]
    for hint in typing.get_type_hints(kind).values():
        for own in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(own):
                found += _parts(own)
    return found


def _describe(schema: dict[str, Any], kind: type) -> None:
    """Put meanings beside types, and patterns in the form that every dialect of them has."""
    schema["description"] = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    told = meanings(kind)
    for name, of in schema["properties"].items():
        if "$ref" in of or "anyOf" in of:
            schema["properties"][name] = of = dict(of)
        of["description"] = re.sub(r"\bNone\b", "null", told[name])
        if (pattern := of.get("pattern")) and (anchored := _ANCHORED.fullmatch(pattern)):
            of["pattern"] = f"^{anchored['inner']}$"


def _ranges() -> list[dict[str, Any]]:
    """A value lies in its range, where that ends at one of the usual numbers; a fraction's is [0, 1]."""
    rules: list[dict[str, Any]] = [
        {
            "if": {"properties": {"unit": {"const": FRACTION.unit}}},
            "then": {"properties": {"range": {"const": [0, 1]}}},
        }
    ]
    for at, key, ends in ((0, "minimum", LEAST), (1, "maximum", LARGEST)):
        for end in ends:
            place: list[dict[str, Any]] = [{}] * at + [{"const": end}]
            rules.append(
                {
                    "if": {"properties": {"range": {"prefixItems": place}}},
                    "then": {"properties": {"value": {key: end}}},
                }
            )
    return rules
