"""Where a data set lies, and what identifies its files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


class MissingData(FileNotFoundError):
    """The files of a data set are not where they were looked for."""


class BadArchive(ValueError):
    """An archive or annotation whose content contradicts itself. The message names file and place."""


def locate(
    root: str | Path | None,
    candidates: Sequence[str],
    name: str,
    obtain: str,
    download: Callable[[Path], object] | None = None,
) -> Path:
    """Return the first of `candidates` that exists under `root`.

    Args:
        root: the folder of all data sets.
        candidates: paths relative to it, in order of preference.
        name: the data set, for the message.
        obtain: one sentence that says how to get the files.
        download: called with `root` where none exists, to put the first of them there; None: not wanted.
    """
    if root is None:
        raise MissingData(
            f"{name} needs a data folder: set data.root=PATH or the environment variable "
            f"PRETEXTBENCH_DATA. {obtain}"
        )
    places = [Path(root) / candidate for candidate in candidates]
    if download is not None and not any(place.exists() for place in places):
        download(Path(root))
    for place in places:
        if place.exists():
            return place
    raise MissingData(f"{name}: found none of {', '.join(candidates)} in {Path(root).resolve()}. {obtain}")


def file_identity(path: Path) -> str:
    """SHA-256 of a file's content; for single archives, which are small."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_identity(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 of relative name, size and time of change of many files, none of which is opened."""
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        digest.update(
            f"{path.relative_to(root).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(
                errors="surrogateescape"  # names need not be text
            )
        )
    return digest.hexdigest()


def code_identity(package: Path) -> str:
    """SHA-256 of the Python files of a folder: what they make is made anew when they change."""
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(f"{path.name}\0{file_identity(path)}\n".encode())
    return digest.hexdigest()
