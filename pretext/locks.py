"""The operating system's locks on files and folders; they die with the process that holds them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the exclusive lock of a file or a folder; waits for it.

    A file that is missing is made, and stays: removing it would let two processes lock two files of one name.

    Args:
        waiting: called before waiting for another process.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # and the lock with it


@contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold the exclusive lock of a file or a folder if nobody has any lock on it; yields whether it is so.

    What is not there can be held by nobody.
    """
    with _tried(path, fcntl.LOCK_EX) as free:
        yield free


def held(path: Path) -> bool:
    """Whether a living process holds the exclusive lock of a file or a folder."""
    with _tried(path, fcntl.LOCK_SH) as free:
        return not free


@contextmanager
def _tried(path: Path, kind: int) -> Iterator[bool]:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
