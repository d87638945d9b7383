"""Locks of the operating system: who waits, who is told, and that they die with their process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pretext.locks import held, locked, try_locked


def holder(path: Path, ready: Path) -> int:
    """Start a process that holds the lock of `path` until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            with locked(path):
                ready.touch()
                time.sleep(60)
        finally:
            os._exit(0)
    while not ready.exists():
        time.sleep(0.01)
    return child


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_dies_with_its_process(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    assert not held(path)
    child = holder(path, tmp_path / "ready")
    assert held(path)
    with try_locked(path) as free:
        assert not free
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not held(path)
    assert path.exists(), "removing it would let two processes lock two files of one name"
    told: list[str] = []
    with locked(path, lambda: told.append("waiting")):
        assert held(path)
    assert told == [], "nobody had to wait"
    with try_locked(path) as free:
        assert free
        assert held(path)


def test_whoever_waits_is_told_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = holder(path, tmp_path / "ready")
    with locked(path, lambda: os.kill(child, signal.SIGKILL)):
        assert held(path)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_what_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    with try_locked(tmp_path / "nothing") as free:
        assert free
    assert not held(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
