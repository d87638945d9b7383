"""Arrays on disk by address: whole or not there, mapped while in use, the least recently used given up first.

Every entry is a folder of `.npy` files beside an index, which is written last. Locks are the operating
system's, and die with their process: a map holds a shared one on its file for as long as it lives, a writer
an exclusive one on its unfinished folder. What nobody holds may be removed at any time, by a rename to a
hidden name before anything is deleted: a kill in between leaves the old state, or rubbish that the next
writer sweeps up.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.atomic import naming
from pretext.data.seal import Seal, compare, seal
from pretext.locks import held, locked, try_locked

INDEX = "features.json"


class Stored(NamedTuple):
    """One array of an entry, as a read-only map, and what its writer called it."""

    label: dict[str, str]
    values: NDArray[Any]


class Wanted(NamedTuple):
    """What an array of an entry will be."""

    label: Mapping[str, str]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Draft:
    """An entry that is being written; nobody else sees it. `stored` is there once it is finished."""

    def __init__(self, folder: Path, cache: ArrayCache) -> None:
        self.stored: tuple[Stored, ...] = ()
        self._folder = folder
        self._cache = cache
        self._labels: list[dict[str, str]] = []
        self._arrays: list[np.memmap[Any, Any]] = []

    def create(self, wanted: Sequence[Wanted]) -> list[NDArray[Any]]:
        """All arrays of the entry, on disk, to be filled; older entries make room for them.

        Raises:
            OSError: the disk is full: now, where it is no more than that, and not at some later access.
        """
        for number, (label, shape, dtype) in enumerate(wanted):
            path = self._folder / _file(number)
            self._labels.append(dict(label))
            with naming(path):
                self._arrays.append(np.lib.format.open_memmap(path, "w+", dtype=dtype, shape=shape))
        self._cache.make_room()
        for number in range(len(wanted)):
            _reserve(self._folder / _file(number))
        return list(self._arrays)

    def finish(self) -> None:
        """Write everything to the disk, the index last, and open it for reading."""
        for array in self._arrays:
            array.flush()
        entries = [
            {"label": label, "file": _file(i), "seal": seal(self._folder / _file(i))}
            for i, label in enumerate(self._labels)
        ]
        with naming(self._folder / INDEX), (self._folder / INDEX).open("w") as file:
            json.dump(entries, file)
            file.flush()
            os.fsync(file.fileno())
        self.stored = _open(self._folder)


@dataclass(frozen=True)
class ArrayCache:
    """Entries below one folder, shared by any number of processes.

    Attributes:
        root: the folder; made when something is written.
        limit: bytes that all entries may take together; None: any number. It is enforced before an entry is
            filled, with the room it will take counted in. What is in use stays, even where that exceeds it.

    Raises:
        ValueError: a negative limit.
    """

    root: Path
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"a cache cannot be limited to {self.limit} bytes")

    def read(self, name: str) -> tuple[Stored, ...] | None:
        """Map an entry's arrays and note that it was used now; None where it is not there.

        An entry that is not as it was written is removed, so that it is made again.
        """
        folder = self.root / name
        now = time.time_ns()
        try:
            os.utime(folder / INDEX, ns=(now, now))
            return _open(folder)
        except FileNotFoundError:  # never there, or given up by another process at this moment
            if not folder.is_dir():
                return None
        except (ValueError, TypeError, KeyError):  # cut short, changed, or older than seals
            pass
        with locked(self.root):  # whoever maps it keeps what it has
            hidden = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.root))
            with suppress(FileNotFoundError):
                folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)
        return None

    @contextmanager
    def writing(self, name: str) -> Iterator[Draft]:
        """Yield a draft that becomes the entry `name` when the block ends, and vanishes when it raises.

        Where another writer is first, its entry stays: entries of one name hold the same values.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with locked(self.root):  # nobody may take the new folder for a leftover before it is locked
                folder = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.root))
                stack.enter_context(locked(folder))
            try:
                draft = Draft(folder, self)
                yield draft
                draft.finish()
                folder.chmod(0o755)  # mkdtemp makes it private
                with locked(self.root):
                    _move(folder, self.root / name)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def make_room(self) -> None:
        """Remove what killed processes left, then the least recently used entries until the limit holds."""
        with locked(self.root):
            sizes = {folder: _bytes(folder) for folder in self._folders()}
            rubbish = [f for f in sizes if f.name.startswith(".") and not held(f)]
            excess = 0
            if self.limit is not None:
                excess = sum(size for folder, size in sizes.items() if folder not in rubbish) - self.limit
            for folder in sorted(sizes, key=_last_use):
                if excess <= 0:
                    break
                if folder.name.startswith("."):
                    continue
                hidden = self._hide(folder)
                if hidden is not None:
                    rubbish.append(hidden)
                    excess -= sizes[folder]
        for folder in rubbish:
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [path for path in self.root.iterdir() if path.is_dir()]

    def _hide(self, folder: Path) -> Path | None:
        """Rename an entry that nobody uses to a name that nobody reads; None where it is in use."""
        with ExitStack() as stack:
            for file in folder.glob("*.npy"):
                if not stack.enter_context(try_locked(file)):
                    return None
            hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=self.root))
            return folder.rename(hidden)  # onto the empty folder, in one step


def _file(number: int) -> str:
    return f"{number:03d}.npy"


def _reserve(path: Path) -> None:
    """Take the disk's blocks for a whole file: a map that finds none left ends the process without a word."""
    if hasattr(os, "posix_fallocate"):
        with naming(path), path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _open(folder: Path) -> tuple[Stored, ...]:
    found = []
    for entry in json.loads((folder / INDEX).read_bytes()):
        path = folder / entry["file"]
        values = _map(path)  # first: its lock keeps the file
        compare(path, Seal(*entry["seal"]))
        found.append(Stored(entry["label"], values))
    return tuple(found)


def _map(path: Path) -> NDArray[Any]:
    """Map a `.npy` file, locked as long as the map lives: its handle is a duplicate and shares the lock."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{path} has another version of the .npy format than this cache writes")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, dtype, "r", offset=file.tell(), shape=shape)


def _move(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        # Another writer came first. Anything else is a fault.
        if not (target / INDEX).is_file():
            raise


def _bytes(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:  # a leftover that another process is removing
        return 0


def _last_use(folder: Path) -> tuple[int, str]:
    try:
        return (folder / INDEX).stat().st_mtime_ns, folder.name
    except FileNotFoundError:
        return 0, folder.name
