"""Batches of a split: gathered as uint8, moved to the device, turned into floats there.

There is one way from bytes to floats, `as_float`, shared by pretraining and evaluation.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext.data.dataset import Pixels, Split
from pretext.data.streamed import Streamed
from pretext.spacing import evenly_spaced
from pretext.task import Images

CPU = torch.device("cpu")


def as_float(pixels: Tensor) -> Tensor:
    """Turn (B, H, W, 3) uint8 into contiguous (B, 3, H, W) float32 in [0, 1], on the same device."""
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise ValueError(f"expected (B, H, W, 3) uint8, not {tuple(pixels.shape)} {pixels.dtype}")
    planes = pixels.permute(0, 3, 1, 2)  # (B, 3, H, W)
    return planes.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def fetch(pixels: Pixels, index: NDArray[np.int64], device: torch.device = CPU) -> Tensor:
    """Images `index` (B,) as (B, 3, H, W) float32 in [0, 1] on `device`.

    Bytes cross to the device, a quarter of what the floats would take.
    """
    return _moved(pixels[index], device)


def _moved(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    batch = torch.from_numpy(np.ascontiguousarray(images))  # (B, H, W, 3) uint8
    if device.type == "cuda":
        batch = batch.pin_memory()
    return as_float(batch.to(device, non_blocking=True))


def batches(
    split: Split,
    batch_size: int,
    indices: NDArray[np.int64] | None = None,
    device: torch.device = CPU,
) -> Iterator[Tensor]:
    """Pixels of a split (or of its positions `indices`) in order, (B, 3, H, W); the last batch is short."""
    order = _positions(split, indices)
    index = [order[start : start + batch_size] for start in range(0, len(order), _positive(batch_size))]
    with contextlib.closing(_gathered(split.pixels, index)) as gathered:
        for images in gathered:
            yield _moved(images, device)


def _gathered(pixels: Pixels, batches: list[NDArray[np.int64]]) -> Generator[NDArray[np.uint8], None, None]:
    """Images (B, H, W, 3) of each batch of positions, in order; what has to be decoded is, some ahead."""
    if isinstance(pixels, Streamed):
        yield from pixels.ahead(batches)
    else:
        for index in batches:
            yield pixels[index]


class EpochLoader:
    """Batches of one split; iterating again repeats the epoch, `set_epoch` moves on.

    The order is a function of (seed, epoch) alone: no global random state enters, so that a resumed
    run sees what the uninterrupted one saw.

    Args:
        split: where the images come from.
        batch_size: images a batch.
        seed: of the order.
        shuffle: permute anew in every epoch; else the order of the split.
        drop_last: leave out a last short batch.
        indices: (K,) positions of the split to draw from; all by default. `Images.positions` are
            those in the split.
        weights: see `set_weights`.
        device: where the floats are made and left. Only the main process may use a GPU: with loader
            workers keep the CPU.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int = 0,
        *,
        shuffle: bool = True,
        drop_last: bool = True,
        indices: NDArray[np.int64] | None = None,
        weights: Tensor | None = None,
        device: torch.device = CPU,
    ) -> None:
        self.split = split
        self.batch_size = _positive(batch_size)
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.device = device
        self.epoch = 0
        self._positions = _positions(split, indices)
        self._labels = None if split.labels is None else _label_tensor(split.labels)
        self.digest = split.digest if indices is None else _part_digest(split.digest, self._positions)
        self.set_weights(weights)
        if len(self) == 0:
            raise ValueError(
                f"split {split.name!r} gives no batch: {len(self._positions)} images, "
                f"batch_size={batch_size}, drop_last={drop_last}"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose order the next iteration takes."""
        self.epoch = epoch

    def set_weights(self, weights: Tensor | None) -> None:
        """Draw with replacement in proportion to `weights` (K,), each ≥ 0; None goes back to permuting."""
        if weights is not None:
            if not self.shuffle:
                raise ValueError("sampling weights need shuffle=True")
            weights = weights.detach().to("cpu", torch.float64)
            if weights.shape != (len(self._positions),):
                raise ValueError(f"expected {len(self._positions)} weights, not {tuple(weights.shape)}")
            if not (torch.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
                raise ValueError("sampling weights must be finite, at least 0 and not all 0")
        self._weights = weights

    @property
    def images(self) -> int:
        """How many images there are to draw from."""
        return len(self._positions)

    def __len__(self) -> int:
        full, rest = divmod(len(self._positions), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Images]:
        order, size = self.order(self.epoch), self.batch_size
        batches = [order[start : start + size] for start in range(0, len(self) * size, size)]
        with contextlib.closing(_gathered(self.split.pixels, batches)) as gathered:
            for index, images in zip(batches, gathered, strict=True):
                at = torch.from_numpy(index)
                labels = None if self._labels is None else self._labels[at].to(self.device, non_blocking=True)
                yield Images(_moved(images, self.device), at.to(self.device), labels)

    def evenly_spaced(self, images: int) -> EpochLoader:
        """Batches, in order, of at most so many of the images, evenly spaced over the split."""
        few = self._positions[evenly_spaced(len(self._positions), images)]
        return EpochLoader(
            self.split, self.batch_size, shuffle=False, drop_last=False, indices=few, device=self.device
        )

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Positions in the split (K,), in the order that `epoch` visits them."""
        if not self.shuffle:
            return self._positions
        generator = torch.Generator().manual_seed(_mixed(self.seed, epoch))
        if self._weights is None:
            draw = torch.randperm(len(self._positions), generator=generator)
        else:
            draw = _draw(self._weights, generator)
        return np.asarray(self._positions[draw.numpy()])


def _draw(weights: Tensor, generator: torch.Generator) -> Tensor:
    # torch.multinomial stops at 2**24 images; the inverse of the cumulative sum does not.
    steps = weights.cumsum(0)
    at = torch.rand(len(weights), generator=generator, dtype=torch.float64) * steps[-1]
    last = int(weights.nonzero()[-1])  # rounding may reach the very end, where weights may be 0
    return torch.searchsorted(steps, at, right=True).clamp_(max=last)


def _mixed(seed: int, epoch: int) -> int:
    if seed < 0 or epoch < 0:
        raise ValueError(f"seed and epoch start at 0, not seed={seed}, epoch={epoch}")
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _positive(batch_size: int) -> int:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    return batch_size


def _positions(split: Split, indices: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if indices is None:
        return np.arange(len(split), dtype=np.int64)
    positions = np.array(indices, dtype=np.int64)
    if positions.ndim != 1 or ((positions < 0) | (positions >= len(split))).any():
        raise ValueError(f"indices must be positions 0 to {len(split) - 1} of split {split.name!r}")
    return positions


def _label_tensor(labels: NDArray[Any]) -> Tensor:
    if labels.ndim == 1:
        return torch.from_numpy(np.array(labels, np.int64))  # (N,)
    return torch.from_numpy(np.array(labels, np.float32))  # (N, C)


def _part_digest(digest: str, positions: NDArray[np.int64]) -> str:
    return hashlib.sha256(digest.encode() + positions.astype("<i8").tobytes()).hexdigest()
