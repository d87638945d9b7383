"""Regions for detectors that do not find their own: selective search, once for every image of a split."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from downstream.detection.boxes import Target
from downstream.detection.selective_search import VERSION, selective_search
from downstream.digest import digest
from downstream.features.cache import ArrayCache, Wanted
from downstream.protocol import Runtime
from pretext.data.cores import cores
from pretext.data.dataset import Split

PART = 1024
"""Images that are stored together: a stopped search loses that many at most."""

_ALONE = 64
"""Images up to which starting processes takes longer than searching."""

Boxes = NDArray[np.float32]
SearchAll = Callable[[NDArray[np.uint8]], Iterator[Boxes]]


class Nothing:
    """For detectors that find their own regions."""

    def of(self, images: Sequence[int], device: torch.device) -> list[Target]:
        """Nothing of any image."""
        return [{} for _ in images]


class Proposals(NamedTuple):
    """Boxes of every image of a split, the likelier ones first.

    Attributes:
        parts: of `PART` consecutive images each: offsets (n + 1,) into their boxes (K, 4), xyxy in pixels.
    """

    parts: tuple[tuple[NDArray[np.int64], Boxes], ...]

    def of(self, images: Sequence[int], device: torch.device) -> list[Target]:
        """The boxes of these images."""
        return [{"proposals": torch.from_numpy(np.array(self._boxes(i))).to(device)} for i in images]

    def _boxes(self, image: int) -> Boxes:
        offsets, boxes = self.parts[image // PART]
        return boxes[slice(*offsets[image % PART :][:2])]


Propose = Callable[[Split], Proposals | Nothing]
"""What a detector is given of a split beside its pixels."""


def no_proposals(split: Split) -> Nothing:
    """Give nothing."""
    return Nothing()


def propose(split: Split, scales: tuple[int, ...], count: int, runtime: Runtime) -> Proposals:
    """Selective search on every image, from the cache as far as it is there.

    It lies with the cached features, under `runtime.cache`. Many images are searched by one process a core,
    which are spawned.

    Raises:
        ValueError: as `selective_search`.
    """
    cache = ArrayCache(runtime.cache / "features", runtime.cache_limit)
    parts = []
    with _searching(len(split), scales, count) as search:
        for start in range(0, len(split), PART):
            address = _address(split, scales, count, start)
            parts.append(_part(cache, address, split, start, search, runtime.progress))
    return Proposals(tuple(parts))


def _part(
    cache: ArrayCache,
    address: str,
    split: Split,
    start: int,
    search: SearchAll,
    progress: Callable[[str, int, int], None],
) -> tuple[NDArray[np.int64], Boxes]:
    stored = cache.read(address)
    if stored is None:
        found: list[Boxes] = []
        for boxes in search(split.pixels[start : start + PART]):
            found.append(boxes)
            progress(f"regions of {split.name}", start + len(found), len(split))
        ragged = (np.cumsum([0, *map(len, found)]), np.concatenate(found))
        with cache.writing(address) as draft:
            arrays = draft.create([Wanted({}, values.shape, values.dtype) for values in ragged])
            for array, values in zip(arrays, ragged, strict=True):
                array[:] = values
        stored = draft.stored
    return stored[0].values, stored[1].values


def _address(split: Split, scales: tuple[int, ...], count: int, start: int) -> str:
    of = {"scales": list(scales), "count": count, "images": [start, PART]}
    return digest({"selective_search": VERSION, "split": split.digest, **of})[:32]


@contextmanager
def _searching(images: int, scales: tuple[int, ...], count: int) -> Iterator[SearchAll]:
    """Yield what searches a stack of images, by several processes where there are many images."""
    one = partial(selective_search, scales=scales, count=count)
    workers = cores()
    if workers == 1 or images <= _ALONE:
        yield lambda stack: map(one, stack)
        return
    # A process starts with its first task: where everything is cached, none does.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield lambda stack: pool.map(one, stack, chunksize=8)
    finally:
        pool.shutdown(cancel_futures=True)  # whoever is interrupted does not wait for a thousand images
