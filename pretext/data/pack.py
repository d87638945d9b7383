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
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from pretext.atomic import naming, write_json
from pretext.data.pixels import image_digest
from pretext.data.seal import Changed, DamagedCache, Seal, compare, seal
from pretext.locks import locked
from pretext.names import slug

Progress = Callable[[str, int, int], None]
"""progress(what, done, total), called often."""


def silent(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


SEALS = "seals.json"
"""The file of a pack that holds the seals of all others."""


class ArrayWriter:
    """Appends rows to one .npy file, so that a set larger than memory can be packed.

    The count goes into the header at the end: NumPy leaves room there for a first axis that grows.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.count = 0
        self._row_shape = row_shape
        self._dtype = np.dtype(dtype)
        self._path = path
        self._file = path.open("wb")
        self._header()

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows (K, *row_shape) of the very dtype."""
        if rows.shape[1:] != self._row_shape or rows.dtype != self._dtype:
            raise ValueError(f"expected rows {self._row_shape} {self._dtype}, not {rows.shape} {rows.dtype}")
        with naming(self._path):
            self._file.write(np.ascontiguousarray(rows).data)
        self.count += len(rows)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with naming(self._path), self._file:
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

    Raises: DamagedCache: the folder is there, but not as `build` left it; see `pretext.data.seal`.
    """
    cache = Path(cache)
    folder = cache / f"{slug(name)}-{digest_of(identity)[:16]}"
    if folder.is_dir():
        return _unchanged(folder)
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f".{folder.name}.lock"):
        if folder.is_dir():  # made while this process waited
            return _unchanged(folder)
        for leftover in cache.glob(f".{folder.name}.part-*"):  # of a killed process: the lock is ours
            shutil.rmtree(leftover)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=cache))
        try:
            build(part)
            write_values(part / "identity.json", dict(sorted(identity.items())))
            _seal(part)
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
            raise damaged(path, error) from error
    if not arrays:
        raise DamagedCache(f"{folder} holds no arrays: delete it and start again")
    return arrays


def write_values(path: Path, values: object) -> None:
    """Write JSON-able values into a pack that is being built."""
    with naming(path):
        path.write_text(json.dumps(values))


def read_values(path: Path) -> Any:
    """What `write_values` wrote.

    Raises: DamagedCache.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, reason: object) -> DamagedCache:
    """The error for a file of a pack."""
    return DamagedCache(f"{path} is damaged ({reason}): delete {path.parent} and start again")


def _seal(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.name != SEALS)
    write_json(folder / SEALS, {name: seal(folder / name) for name in names})


def _unchanged(folder: Path) -> Path:
    """The folder, if its files are what was written.

    Raises: DamagedCache.
    """
    path = folder / SEALS
    if not path.is_file():
        return _adopted(folder)
    try:
        seals = {str(name): Seal(*values) for name, values in json.loads(path.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error
    found: dict[str, Seal] = {}
    for name, sealed in seals.items():
        try:
            found[name] = compare(folder / name, sealed)
        except Changed as error:
            raise damaged(folder / name, error) from error
    if found != seals:  # copied or touched, and still the same: from now on known by the new times
        with suppress(OSError):  # a cache may be read-only
            write_json(path, found)
    return folder


def _adopted(folder: Path) -> Path:
    """The folder of a pack that was made before packs were sealed, held to the digests of its images."""
    arrays = mapped(folder) if any(folder.glob("*.npy")) else {}
    if {"pixels", "digests"} <= arrays.keys():
        for position, image in enumerate(arrays["pixels"]):
            if not np.array_equal(image_digest(image), arrays["digests"][position]):
                raise damaged(folder / "pixels.npy", f"image {position} is not the one that was packed")
    with suppress(OSError):  # a cache may be read-only
        _seal(folder)
    return folder


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise OSError before a pack of `needed` bytes fills the disk."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        unit, name = (1e9, "GB") if needed >= 1e9 else (1e6, "MB")
        takes, left = (f"{size / unit:,.1f} {name}" for size in (needed, free))
        raise OSError(f"packing {what} takes {takes}, {folder.parent} has {left} free")


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
