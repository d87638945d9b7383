"""Images decoded when they are asked for, some batches ahead, for sets too large to pack."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

AHEAD = 2
"""Batches that are decoded while another one is at work."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """Images by position that indexing decodes; indexes like a (N, H, W, 3) uint8 array.

    Threads do it, not processes: Pillow lets go of the interpreter while it decodes and resizes, and nothing
    is copied between processes.

    read: (H, W, 3) uint8 of one file, by its row; called from several threads; may raise BadImage.
    digests: (N, 32) uint8, SHA-256 of the bytes of each file, in the order of the view.
    rows: (N,) int64 rows of the files, in the order of the view.
    size: H and W.
    made: what `read` makes of a file, in words that change when it does.
    """

    read: Callable[[int], NDArray[np.uint8]]
    digests: NDArray[np.uint8]
    rows: NDArray[np.int64]
    size: tuple[int, int]
    made: str

    def __post_init__(self) -> None:
        if self.digests.shape != (len(self), hashlib.sha256().digest_size):
            raise ValueError(f"{len(self)} images need as many digests, not an array {self.digests.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return (len(self), *self.size, 3)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Images of a slice, an index array, a mask (B, H, W, 3), or of one position (H, W, 3).

        Raises: BadImage, naming the file.
        """
        rows = self.rows[index]
        if np.ndim(rows) == 0:
            return self.read(int(rows))
        return self._joined(list(_threads(os.getpid()).map(self.read, rows.tolist())))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def select(self, rows: NDArray[np.int64]) -> Streamed:
        """The view of the positions `rows` (K,) of this view; nothing is read."""
        return Streamed(self.read, self.digests[rows], self.rows[rows], self.size, self.made)

    def ahead(self, batches: Iterable[NDArray[np.int64]]) -> Generator[NDArray[np.uint8], None, None]:
        """Images (B, H, W, 3) of each batch of positions, in order, AHEAD of them being decoded.

        Raises: BadImage, naming the file, when its batch comes.
        """
        threads = _threads(os.getpid())
        waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
        try:
            for index in batches:
                waiting.append([threads.submit(self.read, row) for row in self.rows[index].tolist()])
                if len(waiting) > AHEAD:
                    yield self._joined([future.result() for future in waiting[0]])
                    waiting.popleft()
            while waiting:
                yield self._joined([future.result() for future in waiting[0]])
                waiting.popleft()
        finally:  # whoever stops early leaves no work behind
            for future in (future for batch in waiting for future in batch):
                future.cancel()

    def _joined(self, images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return np.stack(images) if images else np.empty((0, *self.size, 3), np.uint8)


@functools.cache
def _threads(process: int) -> ThreadPoolExecutor:
    # By process: a fork has the object but not the threads of its parent.
    return ThreadPoolExecutor(min(32, os.cpu_count() or 1), thread_name_prefix="decode")
