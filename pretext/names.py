"""Names that people give, where a file system, another service or a terminal has to take them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 48
"""Characters of a safe form: several of them make one file name."""

STANDS_IN = "\ufffd"
"""For each character that cannot be printed."""

SHOWN = 200
"""Characters of a name that are printed."""

FORMULA = "=+-@"
"""Beginnings of what spreadsheets compute."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MARK = 8


def slug(name: str, longest: int = LONGEST) -> str:
    """The form of a name that is safe as part of a file name, and for W&B.

    Letters of ASCII, digits, dots, dashes and underscores, beginning with none of the latter three. A name
    that is so already stays as it is; any other ends in a digest of itself, so that two names never share
    a form.
    """
    if _SAFE.fullmatch(name) and len(name) <= longest:
        return name
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", letters).strip("-._")[: longest - _MARK - 1]
    return f"{plain}-{mark}" if plain else mark


def printable(text: str) -> str:
    """Text on one line in which nothing moves a cursor, colours the screen or turns the way of reading."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else STANDS_IN for letter in text)


def shown(name: object, longest: int = SHOWN) -> str:
    """Somebody's name for something as it is printed: `printable`, its middle left out where it is long."""
    text = printable(str(name))
    if len(text) <= longest:
        return text
    begin = longest // 2
    return f"{text[:begin]}…{text[begin + 1 - longest :]}"
