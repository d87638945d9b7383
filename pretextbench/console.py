"""The one door to the terminal: what a person sees while a job runs, printed letter by letter.

Overrides, labels, paths and errors are other people's text: nothing in them is markup, a sign that would move
the cursor or colour the screen is replaced, and so is a character that the terminal's encoding does not have.
A name that has to stay on its line goes through `pretext.names.shown` before. tests/test_console.py holds
every module to this door.
"""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from pretext.names import printable

UNKNOWN_WIDTH = 80
"""Characters of a line where nobody says how wide it is."""


class _Signs(RenderHook):
    """Puts what is printed into printable signs."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printable(each) for each in renderables]


class _Printable:
    """Something printed, in printable signs and line breaks; the console's own control codes stay."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self.inner, options):
            yield Segment(text if control else _in_lines(text), style, control)


def _in_lines(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def _door(*, stderr: bool) -> Console:
    made = Console(markup=False, highlight=False, emoji=False, stderr=stderr)
    if made.width < 1:  # COLUMNS=0, by which terminals and servers say that they do not know
        made.width = UNKNOWN_WIDTH
    made.push_render_hook(_Signs())
    return made


console, errors = _door(stderr=False), _door(stderr=True)
"""What was asked for; and why it was not to be had, which is no part of a table that is sent to a file."""

_NEAREST = {"─": "-", "–": "-", "—": "-", "−": "-", "±": "~", "·": "."}
"""What stands for a character of the tables where the encoding has not got it; of the same width."""


def _nearest(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded by the ASCII letter it decomposes to, or a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(map(_replacement, lost)), error.end


def _replacement(letter: str) -> str:
    near = _NEAREST.get(letter) or unicodedata.normalize("NFKD", letter)
    near = near if len(near) == 1 else near[:1] if near[1:] and unicodedata.combining(near[1]) else "?"
    return near if near.isascii() else "?"


def open_door() -> None:
    """Let both streams replace what their encoding does not have, instead of stopping at it."""
    codecs.register_error("nearest", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="nearest")


@contextmanager
def progress(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar a stage of work; yields the function that moves it: (what, done, total).

    Without a terminal, one line a finished stage instead of bars.
    """
    if not console.is_terminal:
        yield _lines(title)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        rows: dict[str, TaskID] = {}

        def move(what: str, done: int, total: int) -> None:
            if what not in rows:
                for old in rows.values():
                    bars.update(old, visible=False)
                rows[what] = bars.add_task(printable(f"{title}: {what}")[:40], total=total)
            bars.update(rows[what], completed=done, total=total)

        yield move


def _lines(title: str) -> Callable[[str, int, int], None]:
    finished: set[str] = set()

    def move(what: str, done: int, total: int) -> None:
        if done >= total and what not in finished:
            finished.add(what)
            console.print(f"{title}: {what} {done}/{total}")

    return move
