"""What a person sees in the terminal while a job runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

console = Console()


@contextmanager
def progress(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar a stage of work; yields the function that moves it: (what, done, total).

    Without a terminal, one line a finished stage instead of bars.
    """
    if not console.is_terminal:
        yield _lines(title)
        return
    columns = (
        TextColumn("{task.description}"),
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
                rows[what] = bars.add_task(f"{title}: {what}"[:40], total=total)
            bars.update(rows[what], completed=done, total=total)

        yield move


def _lines(title: str) -> Callable[[str, int, int], None]:
    finished: set[str] = set()

    def move(what: str, done: int, total: int) -> None:
        if done >= total and what not in finished:
            finished.add(what)
            console.print(f"{title}: {what} {done}/{total}", highlight=False)

    return move
