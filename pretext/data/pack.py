"""Arrays that are made once, kept in a folder named by what determines them, and mapped from then on.

A folder appears whole, by one rename, or not at all. Whoever finds another process at work on the same
folder waits and takes its result.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from pretext.locks import locked

Progress = Callable[[str, int, int], None]
"""progress(what, done, total), called often."""


def silent(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


class DamagedCache(RuntimeError):
    """A cache folder that does not hold what was written into it."""


class ArrayWriter:
    """Appends rows to one .npy file, so that a set larger than memory can be packed.

    The count goes into the header at the end: NumPy leaves room there for a first axis that grows.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.count = 0
        self._row_shape = row_shape
        self._dtype = np.dtype(dtype)
        self._file = path.open("wb")
        self._header()

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows (K, *row_shape) of the very dtype."""
        if rows.shape[1:] != self._row_shape or rows.dtype != self._dtype:
            raise ValueError(f"expected rows {self._row_shape} {self._dtype}, not {rows.shape} {rows.dtype}")
        self._file.write(np.ascontiguousarray(rows).data)
        self.count += len(rows)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._header()

    def _header(self) -> None:
        shape = (self.count, *self._row_shape)
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)


def digest_of(identity: Mapping[str, object]) -> str:
    """SHA-256 (64 hex digits) of JSON-able values, whatever their order."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def packed(
    cache: str | Path, name: str, identity: Mapping[str, object], build: Callable[[Path], None]
) -> Path:
    """Return the folder `cache/name-digest`, which `build` fills if it is not there yet.

    Args:
        cache: folder of all packs; made if missing.
        name: of the set, for people who look into the cache.
        identity: everything that determines the content, as JSON-able values; kept as `identity.json`.
        build: writes files into the empty folder it is given; what it raises is raised here, and nothing
            is left behind.
    """
    cache = Path(cache)
    folder = cache / f"{name}-{digest_of(identity)[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f".{folder.name}.lock"):
        if folder.is_dir():  # made while this process waited
            return folder
        for leftover in cache.glob(f".{folder.name}.part-*"):  # of a killed process: the lock is ours
            shutil.rmtree(leftover)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=cache))
        try:
            build(part)
            (part / "identity.json").write_text(json.dumps(identity, sort_keys=True, indent=1) + "\n")
            _commit(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def mapped(folder: Path) -> dict[str, NDArray[Any]]:
    """Open every .npy file of a pack read-only, by name, without reading it."""
    arrays: dict[str, NDArray[Any]] = {}
    for path in sorted(folder.glob("*.npy")):
        try:
            arrays[path.stem] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedCache(f"{path} is damaged ({error}): delete {folder} and start again") from error
    if not arrays:
        raise DamagedCache(f"{folder} holds no arrays: delete it and start again")
    return arrays


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise OSError before a pack of `needed` bytes fills the disk."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"packing {what} takes {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free")


def _commit(part: Path, folder: Path) -> None:
    part.chmod(0o755)  # mkdtemp is private, a cache may be shared
    for path in part.iterdir():
        _sync(path)
    _sync(part)
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # else a process on a file system without locks was first
            raise
    _sync(folder.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
