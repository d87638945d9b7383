"""Pulling the plug: run something in a process of its own and kill it at a chosen moment."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def killed_at(moment: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child that is killed, by SIGKILL, around its file operation number `moment`.

    Operations are syncs and renames, the steps of every atomic write: even moments kill before operation
    moment / 2, odd ones after it. Returns whether the child was killed; False says it finished first.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _armed(moment)
            work()
            status = 0
        finally:
            os._exit(status)
    ended = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(ended):
        assert os.WTERMSIG(ended) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(ended) == 0, "the child failed; its traceback is above"
    return False


def _armed(moment: int) -> None:
    left = moment

    def deadly(operation: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            made = operation(*arguments, **options)
            if left == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 2
            return made

        return step

    for name in ("fsync", "replace", "rename"):
        setattr(os, name, deadly(getattr(os, name)))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory, of that size; skips where it cannot be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk: mount says {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Inside, a write beyond that many bytes of a file fails, as on a full disk; needs no right to mount."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
