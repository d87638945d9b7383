"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SUFFIX = ".tmp"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError inside name the file: what fails on an open file, a full disk, does not say which."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # NumPy's: a message alone
            raise OSError(f"{path}: {error}") from error
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that becomes `path` when the block ends, and vanishes when it raises.

    The temporary file lies in the target's folder, so that the rename never crosses file systems; it is
    synced before the rename, so that a power cut leaves the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:16]}.", suffix=_SUFFIX)
    except OSError as error:
        error.filename = str(path)  # of which a person has heard
        raise
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes it private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a folder, for the one process that writes there now."""
    for leftover in folder.glob(f".*{_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets folders be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write plain values to `path` atomically, as indented JSON.

    Raises:
        ValueError: a value that is not finite, which JSON cannot hold.
    """
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
