"""The command line as a person types it: Hydra's grammar has neither homes (~) nor letters beyond ASCII."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

_WORD = re.compile(r"[^,\[\]()=]+")
_CHOICE = re.compile(r"leaderboard\.(rows|columns|sections|where\..+)")
"""Keys whose values are names of fields, or what fields say: one, or several that a comma parts."""
_SIGNS = re.compile(r"[^\w .:/+-]", re.ASCII)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def quoted(arguments: Sequence[str]) -> list[str]:
    """Quote the values that Hydra's grammar cannot read and that stand for themselves.

    `output=~/x`, `label=größe` and `-m label=größe,weite` are read as meant; what is quoted already, a
    mapping, and all else stay as they are. Where records are chosen, `simclr,byol` is a list of two without
    brackets and `TimmNet(model='x')` a value, unless commas mean a sweep.
    """
    sweeps = not {"-m", "--multirun"}.isdisjoint(arguments)
    return [_quoted(argument, sweeps) for argument in arguments]


def check_one_output(arguments: Sequence[str]) -> None:
    """Refuse several folders for the results of one sweep, whose one table is made of them.

    Raises:
        ValueError: `output` is given several values.
    """
    given = [word for word in arguments if word.startswith("output=")]
    if not given or {"-m", "--multirun"}.isdisjoint(arguments):
        return
    try:
        sweeps = OverridesParser.create().parse_overrides(given[-1:])[0].is_sweep_override()
    except OverrideParseException:
        return  # Hydra meets it next
    if sweeps:
        raise ValueError(f"{given[-1]}: the members of a sweep share one output; give each its own command")


def _quoted(argument: str, sweeps: bool) -> str:
    key, equals, value = argument.partition("=")
    if value and not sweeps and _CHOICE.fullmatch(key):
        return key + equals + _choice(value)
    if key.startswith("-") or not equals or re.search(r"['\"{}\\]", value):
        return argument
    return key + equals + _WORD.sub(_word, value)


def _word(found: re.Match[str]) -> str:
    word = found[0]
    return f"'{word}'" if word.startswith("~") or not word.isascii() else word


def _choice(value: str) -> str:
    """One value, or several in brackets, those quoted that have signs of Hydra's grammar."""
    bracketed = value[0] + value[-1] == "[]" and len(list(_parts(value))) == 1
    values = [_item(part) for part in _parts(value[1:-1] if bracketed else value)]
    return f"[{','.join(values)}]" if bracketed or len(values) > 1 else values[0]


def _item(value: str) -> str:
    quoted = value[:1] in ("'", '"') and value[-1:] == value[0]
    if quoted or "\\" in value or not _SIGNS.search(value):
        return value
    return "'" + value.replace("'", "\\'") + "'"


def _parts(value: str) -> Iterator[str]:
    """What commas part that stand in no brackets and no quotes."""
    found, open_ = "", list[str]()
    for sign in value:
        if open_ and sign == open_[-1]:
            open_.pop()
        elif sign in "'\"" and not {"'", '"'}.intersection(open_):
            open_.append(sign)
        elif sign in _PAIRS and not {"'", '"'}.intersection(open_):
            open_.append(_PAIRS[sign])
        if sign == "," and not open_:
            yield found.strip()
            found = ""
        else:
            found += sign
    yield found.strip()
