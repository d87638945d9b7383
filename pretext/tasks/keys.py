"""Queries, the keys of their own images and a queue of others', by a teacher (arXiv:1911.05722)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pretext.gather import gather
from pretext.task import Loader
from pretext.tasks.two_views import Pair, cosines

Encode = Callable[[Tensor], tuple[Tensor, ...]]
"""Makes vectors of images (B, 3, S, S), of one kind or several, an image a row."""


class Keyed(NamedTuple):
    """pixels: (2, B, 3, S, S) in [0, 1], queries and keys; order: (B,) int64, in which keys are encoded."""

    pixels: Tensor
    order: Tensor

    def shown(self) -> dict[str, Tensor]:
        """The views as pictures."""
        return {"query": self.pixels[0], "key": self.pixels[1]}


def keyed(pair: Pair, generator: torch.Generator) -> Keyed:
    """Draw the order in which the keys of two views are encoded."""
    order = torch.randperm(pair.pixels.shape[1], generator=generator)
    return Keyed(pair.pixels, order.to(pair.pixels.device))


def check_queue(task: str, queue: int, images: int) -> None:
    """Refuse a queue longer than there are images.

    Raises:
        ValueError: names the task's argument.
    """
    if images < queue:
        raise ValueError(f"{task}.queue is {queue}, of only {images} images")


def check_splits(task: str, splits: int, batch_size: int) -> None:
    """Refuse a batch of fewer than two images a part.

    Raises:
        ValueError: names the task's argument.
    """
    if batch_size < 2 * splits:
        raise ValueError(f"{task}.splits is {splits} parts of two images or more, of {batch_size}")


def in_parts(encode: Encode, pixels: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Encode images in parts, which BatchNorm sees apart."""
    return _together([encode(part) for part in pixels.chunk(parts)])


def in_order(encode: Encode, pixels: Tensor, order: Tensor) -> tuple[Tensor, ...]:
    """Encode images in another order (B,), and bring what was made of them back (ShuffleBN)."""
    return tuple(torch.empty_like(x).index_copy_(0, order, x) for x in encode(pixels[order]))


@torch.no_grad()
def fill(queues: Sequence[Tensor], encode: Encode, loader: Loader) -> None:
    """Fill each queue (K, D) with what is made of training images, as far as there are some."""
    keys = _together([encode(images.pixels) for images in loader.evenly_spaced(len(queues[0]))])
    for queue, made in zip(queues, keys, strict=True):
        count = min(len(queue), len(made))
        queue[:count] = made[:count]


def enter(queue: Tensor, keys: Tensor) -> None:
    """Let keys (B, D) of all processes into a queue (K, D), the oldest out."""
    queue.copy_(torch.cat([gather(keys), queue])[: len(queue)])


def told(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats of the own key among 1 + K, and the share of which it is the nearest.

    Args:
        queries, keys: (B, D), unit vectors. queue: (K, D), which may move before the way back.
    """
    own = (queries * keys).sum(1, keepdim=True)
    logits = torch.cat([own, cosines(queries, queue.clone())], dim=1) / temperature  # (B, 1 + K)
    target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    return F.cross_entropy(logits, target), (logits.argmax(1) == 0).float().mean()


def _together(parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(kind) for kind in zip(*parts, strict=True))
