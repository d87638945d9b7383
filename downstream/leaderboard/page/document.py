"""One HTML file that needs nothing else: data, style, script and libraries lie in it.

Records are anybody's. They reach the page as data alone, which its script puts there as text; the page's
policy lets no other script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from downstream.judge.flags import meaning
from downstream.leaderboard.page.boards import board_data
from downstream.leaderboard.page.parts import Beside, Part
from downstream.leaderboard.page.pictures import pictures_data
from downstream.leaderboard.page.runs import Origins, rounded

FOLDER = Path(__file__).parent
LIBRARIES = ("d3.min.js", "plot.umd.min.js")
SCRIPTS = (
    "dom.js", "words.js", "table.js", "sheets.js", "detail.js", "charts.js",
    "stages.js", "cost.js", "tuned.js", "ranks.js", "sets.js", "classes.js", "main.js",
)  # fmt: skip
"""The page's own script, in the order in which its parts lean on each other."""

ESCAPED = {
    b"<": rb"\u003c",
    b">": rb"\u003e",
    b"&": rb"\u0026",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}
"""What must not stand in a script element as it is, whatever its type; JSON reads it all the same."""

_SLOT = re.compile(r"\{\{ (\w+) \}\}")


def page(parts: Sequence[Part], beside: Beside | None = None) -> bytes:
    """The page of these boards.

    Args:
        parts: at least one; the first is shown first.
        beside: what lies beside the records.

    Raises:
        ValueError: no part.
    """
    if not parts:
        raise ValueError("a page shows at least one board; there is none")
    return filled(data(parts, beside or Beside()))


def data(parts: Sequence[Part], beside: Beside) -> bytes:
    """What the page shows, as JSON that may stand in a script element."""
    origins = Origins(beside.command)
    boards = [board_data(part, origins, beside.classes) for part in parts]
    content = {
        "boards": boards,
        "flags": {flag: meaning(flag) for flag in sorted(_flags(boards))},
        "origins": origins.origins.items,
        "values": origins.values.items,
        "curves": {
            run: [{"name": c.name, "points": [[rounded(x), rounded(y)] for x, y in c.points]} for c in curves]
            for run, curves in beside.curves.items()
        },
        "pictures": {**pictures_data(beside.pictures), "left": beside.left},
    }
    return escaped(msgspec.json.encode(content))


def _flags(boards: Iterable[dict[str, Any]]) -> set[str]:
    """Every flag that is met."""
    evaluations = (e for board in boards for row in board["behind"] for e in row["evaluations"])
    return {flag for evaluation in evaluations for flag in evaluation["flags"]}


def escaped(content: bytes) -> bytes:
    """JSON that ends no script element, opens no comment, and is one line for every reader."""
    for character, written in ESCAPED.items():
        content = content.replace(character, written)
    return content


def filled(content: bytes) -> bytes:
    """The template with everything in its place; what is put there is not looked through again."""
    head, tail = _template()
    return head + content + tail


@functools.cache
def _template() -> tuple[bytes, bytes]:
    """What stands before the data, and what behind."""
    libraries = [_script(FOLDER / "vendor" / name) for name in LIBRARIES]
    own = '"use strict";\n(() => {\n' + "\n".join(_script(FOLDER / name) for name in SCRIPTS) + "\n})();\n"
    slots = {
        "policy": _policy([own, *libraries]),
        "style": _text(FOLDER / "page.css"),
        "d3": libraries[0],
        "plot": libraries[1],
        "script": own,
        "licences": _text(FOLDER / "vendor" / "LICENSES.txt").replace("<", "‹"),
    }
    before, after = _text(FOLDER / "template.html").split("{{ data }}")
    head, tail = (_SLOT.sub(lambda found: slots[found[1]], half).encode() for half in (before, after))
    return head, tail


def _policy(scripts: Iterable[str]) -> str:
    """No network, no script but these, no form, no frame."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _script(path: Path) -> str:
    """A script that may stand in an element.

    Raises:
        ValueError: one that would end it.
    """
    text = _text(path)
    if re.search(r"</script|<!--", text, re.I):
        raise ValueError(f"{path.name} holds what ends a script element")
    return text


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
