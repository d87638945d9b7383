"""Names of a data set's classes, kept beside records: these tell single classes by number alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from downstream.judge.records import Record, RecordError
from pretext.atomic import write_bytes
from pretext.data.dataset import DataSet

FOLDER = "classes"
"""Where they lie, in a folder of records: a file a set, by the digest of its test split."""
LARGEST = 2**20
"""Bytes that such a file may have."""

Names = dict[str, tuple[Annotated[str, Meta(max_length=200)], ...]]
"""By task the names of its classes, in the order of their numbers."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


def keep(folder: Path, data: DataSet) -> None:
    """Write down what the classes of a set are called; a set without names leaves nothing.

    Args:
        folder: of records.
    """
    every = {
        "classification": data.label_names,
        "detection": data.box_names,
        "segmentation": data.mask_names,
    }
    if named := {task: names for task, names in every.items() if names}:
        path, content = _path(folder, data.test.digest), msgspec.json.encode(named) + b"\n"
        if not path.is_file() or path.read_bytes() != content:
            write_bytes(path, content)


def files(folders: Iterable[Path], records: Iterable[Record]) -> dict[str, Path]:
    """The files there are of the sets that records were scored on, by digest; the first folder counts."""
    scored = {record.data.digests[record.evaluation.split] for record in records}
    # A digest of somebody else's may be any text; one that is none names no file.
    asked = [digest for digest in sorted(scored) if _DIGEST.fullmatch(digest)]
    paths = [(digest, _path(folder, digest)) for folder in reversed(list(folders)) for digest in asked]
    return {digest: path for digest, path in paths if path.is_file()}


def read(
    found: Mapping[str, Path], on_error: Callable[[RecordError], None]
) -> dict[str, dict[str, Sequence[str]]]:
    """Names by digest and task.

    Args:
        found: see `files`.
        on_error: called with the error of each file that holds none, which is left out.
    """
    named: dict[str, dict[str, Sequence[str]]] = {}
    for digest, path in found.items():
        try:
            named[digest] = {**_read(path)}
        except (OSError, msgspec.MsgspecError) as error:
            on_error(RecordError(f"{path}: no names of classes: {error}; delete it"))
    return named


def _read(path: Path) -> Names:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"more than {LARGEST:,} bytes")
    return msgspec.json.decode(content, type=Names)


def _path(folder: Path, digest: str) -> Path:
    return folder / FOLDER / f"{digest}.json"
