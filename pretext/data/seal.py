"""What a file of a cache was when it was finished, so that one that was changed since is not used unnoticed.

A cached file is never written again. Its size and time of change are compared whenever it is opened, and so
are the digests of some of its blocks, all of them where it is small. A file whose time differs (copied,
touched or overwritten) is compared whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from pretext.data.cores import cores

BLOCK = 2**18
"""Bytes under one digest."""

SAMPLE = 32
"""Blocks of a file that are compared at each opening, evenly spaced: 8 MiB, some hundredths of a second."""

_HEX = 16  # digits a block: 64 bits tell damage, nobody forges caches

_whole: ContextVar[bool] = ContextVar("whole", default=False)


class DamagedCache(ValueError):
    """A cache that does not hold what was written into it. The message names file and folder."""


class Changed(ValueError):
    """A file that is not what was sealed; the message says how it differs."""


class Seal(NamedTuple):
    """Size in bytes, time of change in nanoseconds, and 16 hex digits of the SHA-256 of every BLOCK."""

    size: int
    modified: int
    blocks: str


@contextmanager
def compared_whole(wanted: bool = True) -> Iterator[None]:
    """Inside, every cached file that is opened is compared whole, not by sample."""
    token = _whole.set(wanted)
    try:
        yield
    finally:
        _whole.reset(token)


def seal(path: Path) -> Seal:
    """Describe a finished file."""
    status = path.stat()
    return Seal(status.st_size, status.st_mtime_ns, "".join(_digests(path, range(_count(status.st_size)))))


def compare(path: Path, sealed: Seal) -> Seal:
    """Compare a file with its seal, whole inside `compared_whole`; return the seal with the time it has now.

    Raises: Changed.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise Changed("is missing") from None
    if status.st_size != sealed.size:
        raise Changed(f"has {status.st_size} bytes, not the {sealed.size} that were written")
    count = _count(sealed.size)
    where: Sequence[int] = range(count)
    if count > SAMPLE and status.st_mtime_ns == sealed.modified and not _whole.get():
        where = [i * (count - 1) // (SAMPLE - 1) for i in range(SAMPLE)]
    for position, found in zip(where, _digests(path, where), strict=True):
        if found != sealed.blocks[position * _HEX : (position + 1) * _HEX]:
            raise Changed(f"was changed after it was written, at or behind byte {position * BLOCK}")
    return sealed._replace(modified=status.st_mtime_ns)


def _count(size: int) -> int:
    return -(-size // BLOCK)


def _digests(path: Path, blocks: Iterable[int]) -> Iterator[str]:
    """Digests of some blocks, in several threads: hashing lets go of the interpreter."""
    with path.open("rb") as file:

        def one(block: int) -> str:
            content = os.pread(file.fileno(), BLOCK, block * BLOCK)
            return hashlib.sha256(content).hexdigest()[:_HEX]

        with ThreadPoolExecutor(cores()) as pool:
            yield from pool.map(one, blocks)
