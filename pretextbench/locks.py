"""One process at a time for each run and each evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pretext import locks
from pretextbench.console import console

LOCK = ".lock"


@contextmanager
def locked(folder: Path, lock: str = LOCK, what: str | None = None) -> Iterator[None]:
    """Hold a lock in a folder; where another process has it, say so and wait until that one is done.

    Args:
        folder: made if missing. lock: name of the lock's file, which stays.
        what: is being computed, for the message; the folder's name by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    message = f"{what or folder.name} is being computed by another process; waiting for it."
    with locks.locked(folder / lock, lambda: console.print(message)):
        yield
