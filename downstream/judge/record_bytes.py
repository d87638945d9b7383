"""The bytes of files of records, which may be anybody's: bounded, in UTF-8, else named for what they are."""

from __future__ import annotations

import gzip
import json
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from downstream.judge.records import RecordError

LARGEST = 4 * 2**30
"""Bytes that a file has, or unpacks to, at most."""

PIECE = 2**17
"""Bytes that are read at once: what is asked for is set aside before it is there."""

LONGEST = 16 * 2**20
"""Bytes of a line of JSON Lines at most; a record has about 20,000."""


def is_jsonl(path: Path) -> bool:
    """Whether a file is of JSON Lines, by its name."""
    return path.name.endswith((".jsonl", ".jsonl.gz"))


def content_of(path: Path) -> bytes:
    """The whole content of a file.

    Raises:
        RecordError: no file, an empty one, one of more than `LARGEST` bytes, another encoding.
    """
    with _opened(path) as file:
        content = b"".join(_pieces(path, file))
    if len(content) > LARGEST:
        raise RecordError(f"{path}: more than {LARGEST:,} bytes")
    if not content:
        raise RecordError(f"{path}: an empty file holds no record")
    if problem := _no_text(content):
        raise RecordError(f"{path}: {problem}")
    return content


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file of JSON Lines, unpacked where its name ends in `.gz`.

    Raises:
        RecordError: as `content_of`, a line of more than `LONGEST` bytes, or what cannot be unpacked.
    """
    total = count = 0
    with _opened(path) as file:
        while line := _read(path, file, LONGEST + 1, line=True):
            count += 1
            total += len(line)
            if total > LARGEST:
                raise RecordError(f"{path}: more than {LARGEST:,} bytes")
            if len(line) > LONGEST:
                raise RecordError(f"{path}, line {count}: a line of more than {LONGEST:,} bytes is no record")
            if problem := _no_text(line):
                raise RecordError(f"{path}, line {count}: {problem}")
            yield line
    if not count:
        raise RecordError(f"{path}: an empty file holds no record")


def parsed(content: bytes, path: Path, line: int | None = None) -> Any:
    """The JSON of a file, or of one of its lines, which is counted from 1.

    Raises:
        RecordError: it is none, or nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise RecordError(f"{path}{_at(line)}: nested too deeply for a record") from error
    except json.JSONDecodeError as error:
        where = _at(error.lineno if line is None else line)
        raise RecordError(f"{path}{where}: not JSON: {error.msg} (column {error.colno})") from error
    except ValueError as error:  # the only other: of digits
        raise RecordError(f"{path}{_at(line)}: not JSON: a number without an end") from error


def _at(line: int | None) -> str:
    return "" if line is None else f", line {line}"


def _opened(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe may never end
            raise RecordError(f"{path}: no file, but a {'folder' if path.is_dir() else 'pipe or a device'}")
        return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error


def _pieces(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """What a file holds, and no more of it than says that it is too large."""
    total = 0
    while total <= LARGEST and (piece := _read(path, file, PIECE)):
        total += len(piece)
        yield piece


def _read(path: Path, file: BinaryIO, most: int, line: bool = False) -> bytes:
    try:
        return file.readline(most) if line else file.read(most)
    except EOFError as error:
        raise RecordError(f"{path}: cut short: what is packed in it has no end") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise RecordError(f"{path}: no gzip, or a damaged one") from error
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error


def _no_text(content: bytes) -> str:
    """Why bytes are no text in UTF-8, in words."""
    if b"\0" in content:
        return "not in UTF-8: it has bytes of zero, as UTF-16 has"
    if content.isascii():
        return ""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return f"not in UTF-8: byte {content[error.start]:#04x} at {error.start + 1}"
    return ""
