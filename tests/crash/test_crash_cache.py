"""A cache whose processes are killed, or whose disk is full, holds whole entries or none."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from plug import killed_at, small_disk

from downstream.features.cache import ArrayCache, Wanted

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
FLOATS = 250
ENTRY = 2500
"""Bytes of an entry at most: two arrays of 1000, two headers of 128, and an index."""


def write(cache: ArrayCache, name: str, value: float = 1.0, floats: int = FLOATS) -> None:
    with cache.writing(name) as draft:
        a, b = draft.create([Wanted({"what": w}, (floats,), np.dtype(np.float32)) for w in "ab"])
        a[:], b[:] = value, -value


def names(cache: ArrayCache) -> list[str]:
    return sorted(path.name for path in cache.root.iterdir())


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        cache = ArrayCache(disk)
        write(cache, "x")
        with pytest.raises(OSError, match="No space left"):
            write(cache, "large", floats=2**20)
        assert names(cache) == ["x"]
        write(cache, "y")
        assert names(cache) == ["x", "y"]


def test_a_writer_at_work_is_left_alone_and_a_killed_one_is_swept_up(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=10 * ENTRY)
    listen, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with cache.writing("x") as draft:
                draft.create([Wanted({}, (4,), np.dtype(np.float32))])
                os.write(tell, b"ready")
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(listen, 5) == b"ready"
    os.close(listen)
    write(cache, "y")
    assert [name for name in names(cache) if name.startswith(".x.")], "a living writer lost its folder"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    write(cache, "z")
    assert names(cache) == ["y", "z"]


def test_killed_at_every_file_operation_of_a_write_with_eviction(tmp_path: Path) -> None:
    """After each kill every entry is whole or absent, and the next writer tidies up."""
    cache = ArrayCache(tmp_path, limit=3 * ENTRY)
    moment = kills = 0
    while True:
        for value, name in enumerate("abc"):
            if cache.read(name) is None:
                write(cache, name, value)
        if not killed_at(moment, lambda: write(cache, "d", 3.0)):
            break
        kills += 1
        moment += 1
        for value, name in enumerate("abcd"):
            stored = cache.read(name)
            if stored is None:
                assert not (tmp_path / name).exists()
                continue
            for sign, (_, values) in zip((1, -1), stored, strict=True):
                assert (values == sign * value).all()
                assert len(values) == FLOATS
            del stored, values
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
        write(cache, "e")
        shutil.rmtree(tmp_path / "e")
        assert not [name for name in names(cache) if name.startswith(".")]
    # Two kills a rename or sync: the evicted entry hidden, the index synced, the entry moved into place.
    assert kills == 6
    assert "d" in names(cache)


def test_killed_between_hiding_and_deleting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ArrayCache(tmp_path, limit=ENTRY)
    write(cache, "a")

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(shutil, "rmtree", die)
            write(cache, "b")
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(names(cache)) == 2
    assert all(name.startswith((".a.", ".b.")) for name in names(cache))
    assert cache.read("a") is None
    write(cache, "c")
    assert names(cache) == ["c"]
