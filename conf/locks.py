"""One process at a time for each run and each evaluation; a lock dies with the process that held it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.console import console

LOCK = ".lock"


@contextmanager
def locked(folder: Path, lock: str = LOCK, what: str | None = None) -> Iterator[None]:
    """Hold a lock in a folder; where another process has it, say so and wait until that one is done.

    Args:
        folder: made if missing. lock: name of the lock's file, which stays.
        what: is being computed, for the message; the folder's name by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / lock, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(
                f"{what or folder.name} is being computed by another process; waiting for it.",
                highlight=False,
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # the lock goes with the file handle, or with the process


def held(lock: Path) -> bool:
    """Whether a living process holds a lock."""
    if not lock.is_file():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
