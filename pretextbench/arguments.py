"""The command line as a person types it: Hydra's grammar has neither homes (~) nor letters beyond ASCII."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^,\[\]()=]+")


def quoted(arguments: Sequence[str]) -> list[str]:
    """Quote the values that Hydra's grammar cannot read and that stand for themselves.

    `output=~/x`, `label=größe` and `-m label=größe,weite` are read as meant; what is quoted already, a
    mapping, and all else stay as they are.
    """
    return [_quoted(argument) for argument in arguments]


def _quoted(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if key.startswith("-") or not equals or re.search(r"['\"{}\\]", value):
        return argument
    return key + equals + _WORD.sub(_word, value)


def _word(found: re.Match[str]) -> str:
    word = found[0]
    return f"'{word}'" if word.startswith("~") or not word.isascii() else word
