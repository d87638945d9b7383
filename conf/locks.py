"""One process at a time in a run's folder; a lock dies with the process that held it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.console import console

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; where another process has it, say so and wait until that one is done."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(
                f"{folder.name} is being computed by another process; waiting for it.", highlight=False
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
