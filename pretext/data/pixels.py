"""Packed images as a view on one mapped array, and their content digests."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, runtime_checkable
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from pretext.data.cores import cores
from pretext.data.dataset import Pixels
from pretext.data.seal import DamagedCache

SORT_ABOVE = 2**30
"""Arrays above this many bytes are read in rising order, so that a disk sees ascending offsets."""


@runtime_checkable
class Digested(typing.Protocol):
    """Images that know the digests of their contents."""

    @property
    def digests(self) -> NDArray[np.uint8]:
        """(N, 32) uint8, SHA-256 of each."""
        ...


@dataclass(frozen=True, eq=False)
class Packed:
    """Some rows of a mapped array; indexes like a (N, H, W, 3) uint8 array and copies what it returns.

    array: (M, H, W, 3) uint8, usually mapped read-only. digests: (N, 32) uint8, SHA-256 of each image
    in the order of the view. rows: (N,) int64 rows of `array`, None for all of them in order.
    """

    array: NDArray[np.uint8]
    digests: NDArray[np.uint8]
    rows: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.array.dtype != np.uint8 or self.array.ndim != 4 or self.array.shape[-1] != 3:
            raise ValueError(
                f"packed pixels are (N, H, W, 3) uint8, not {self.array.shape} {self.array.dtype}"
            )
        if self.digests.shape != (len(self), hashlib.sha256().digest_size):
            raise ValueError(f"{len(self)} images need as many digests, not an array {self.digests.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return (len(self), *self.array.shape[1:])

    def __len__(self) -> int:
        return len(self.array) if self.rows is None else len(self.rows)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Images of a slice, an index array, a mask (B, H, W, 3), or of one position (H, W, 3)."""
        where = index if self.rows is None else self.rows[index]
        array = np.asarray(self.array)  # a plain view: np.memmap slows every index down
        if isinstance(where, slice | int | np.integer):
            return np.array(array[where])
        if isinstance(where, np.ndarray) and where.dtype.kind == "i" and array.nbytes > SORT_ABOVE:
            return _gather_sorted(array, where)
        return np.asarray(array[where])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def select(self, rows: NDArray[np.int64]) -> Packed:
        """The view of the positions `rows` (K,) of this view; nothing is read."""
        old = np.arange(len(self), dtype=np.int64) if self.rows is None else self.rows
        return Packed(self.array, self.digests[rows], old[rows])


def _gather_sorted(array: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    out = np.empty((len(rows), *array.shape[1:]), np.uint8)
    for position in np.argsort(rows, kind="stable"):
        out[position] = array[rows[position]]
    return out


def image_digest(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """SHA-256 (32,) uint8 of one decoded image (H, W, 3): of its size and its pixels."""
    digest = hashlib.sha256(np.array(image.shape, "<i8").tobytes())
    digest.update(np.ascontiguousarray(image).data)
    return np.frombuffer(digest.digest(), np.uint8)


_unchanged: WeakSet[Packed] = WeakSet()


def check_unchanged(pixels: Pixels) -> None:
    """Hold packed images to their digests, once a process: a GB takes a second or two. Others know none.

    Raises: DamagedCache: an image is not the one that was packed.
    """
    if not isinstance(pixels, Packed) or pixels in _unchanged:
        return

    def changed(start: int) -> int | None:
        for position in range(start, min(start + 512, len(pixels))):
            if image_digest(pixels[position]).tobytes() != pixels.digests[position].tobytes():
                return position
        return None

    with ThreadPoolExecutor(cores()) as pool:  # hashing lets go of the interpreter
        for position in pool.map(changed, range(0, len(pixels), 512)):
            if position is not None:
                path = _mapped_file(pixels.array)
                place = f"{path}: delete {path.parent} and start again" if path else "the array"
                raise DamagedCache(f"image {position} is not the one that was packed into {place}")
    _unchanged.add(pixels)


def _mapped_file(array: NDArray[Any] | None) -> Path | None:
    """The file that an array is a view of."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.filename is not None:
            return Path(array.filename)
        array = array.base
    return None


def pixel_digests(pixels: Pixels) -> NDArray[np.uint8]:
    """SHA-256 of each image, (N, 32) uint8: of the decoded pixels, or what the images say of themselves."""
    if isinstance(pixels, Digested):
        return pixels.digests
    out = np.empty((len(pixels), hashlib.sha256().digest_size), np.uint8)
    for start, block in _blocks(pixels):
        for i, image in enumerate(block):
            out[start + i] = image_digest(image)
    return out


def colourless(pixels: Pixels, tolerance: int = 8) -> NDArray[np.bool_]:
    """Flags (N,) of images without colour: no pixel's channels differ by more than `tolerance` of 255."""
    out = np.empty(len(pixels), np.bool_)
    for start, block in _blocks(pixels):
        red, green, blue = (block[..., c] for c in range(3))  # each (B, H, W)
        spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        out[start : start + len(block)] = spread.max(axis=(1, 2)) <= tolerance
    return out


def _blocks(pixels: Pixels) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    size = max(1, 2**24 // max(1, int(np.prod(pixels.shape[1:]))))
    for start in range(0, len(pixels), size):
        yield start, np.asarray(pixels[np.arange(start, min(start + size, len(pixels)))])
