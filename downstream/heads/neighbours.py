"""Nearest neighbours by cosine similarity, in pieces: no queries × bank matrix is ever whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BANK = 2**26
"""Numbers of the bank that lie on the device at once (256 MiB)."""

PRODUCT = {"cpu": 2**24, "cuda": 2**28}
"""Similarities that exist at once, by device (64 MiB and 1 GiB)."""

RANKED = {"cpu": 2**22, "cuda": 2**26}
"""The same where the whole bank is ranked, which takes some 60 bytes each (240 MiB and 4 GiB)."""

VOTES = 2**24
"""Labels of neighbours that are gathered at once where an image has several."""


class Neighbours(NamedTuple):
    """The K most similar examples of the bank, most similar first, on the device.

    similarity: (M, K) float32, the cosine in [-1, 1] up to rounding.
    rows: (M, K) int64, positions in the bank.
    """

    similarity: Tensor
    rows: Tensor


def nearest(
    queries: NDArray[Any],
    bank: NDArray[Any],
    k: int,
    device: torch.device,
    own: NDArray[np.int64] | None = None,
) -> Neighbours:
    """Find the `k` rows of `bank` with the largest cosine similarity to each query.

    A row of zeros has no direction; its similarity to everything is 0. Which of several equally similar
    rows come last within `k` is not defined.

    Args:
        queries: (M, D) real, may be a memory map.
        bank: (N, D) real, may be a memory map.
        own: (M,) the row of the bank that each query is, which is not its own neighbour: its similarity is
            −∞ and comes last.

    Raises:
        ValueError: no query, widths that differ, a row that is not finite, k outside 1 … N; a bank of one
            example that is its own query.
    """
    _check(queries, bank, k)
    if own is not None and len(bank) < 2:
        raise ValueError("the bank has one example, which has no neighbour but itself")
    found: Neighbours | None = None
    for first, tile in _tiles(bank, max(1, BANK // bank.shape[1]), "bank", device):
        size = max(1, PRODUCT.get(device.type, PRODUCT["cuda"]) // len(tile))
        parts = []
        for row, part in _tiles(queries, size, "queries", device):
            similarity = part @ tile.T  # (B, T)
            if own is not None:
                _mask(similarity, torch.from_numpy(own[row : row + len(part)]).to(device) - first)
            top = similarity.topk(min(k, len(tile)), dim=1)
            parts.append(Neighbours(top.values, top.indices + first))
        here = Neighbours(*(torch.cat(column) for column in zip(*parts, strict=True)))
        found = here if found is None else _merged(found, here, k)
    assert found is not None, "the bank has at least k rows"
    return found


def similarities(
    queries: NDArray[Any], bank: NDArray[Any], device: torch.device, own: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row of each piece of the queries and its similarity (B, N) to the whole bank.

    Arguments and errors as `nearest`.
    """
    _check(queries, bank, 1)
    size = max(1, RANKED.get(device.type, RANKED["cuda"]) // len(bank))
    for row, part in _tiles(queries, size, "queries", device):
        tiles = _tiles(bank, max(1, BANK // bank.shape[1]), "bank", device)
        similarity = torch.cat([part @ tile.T for _, tile in tiles], 1)
        if own is not None:
            _mask(similarity, torch.from_numpy(own[row : row + len(part)]).to(device))
        yield row, similarity


def vote(found: Neighbours, labels: Tensor, classes: int, k: int, temperature: float) -> Tensor:
    """Weighted vote of the first `k` neighbours, exp(similarity / temperature) each (arXiv:1805.01978, 3.4).

    Args:
        found: at least k neighbours.
        labels: of the bank, (N,) int64, or (N, classes) of 0 and 1; on the device of `found`.

    Returns:
        (M, classes): the share of the weights that votes for each class, in [0, 1]. Dividing by the sum
        of the weights changes no image's ranking of classes, and lets images be ranked within a class.
    """
    weight = torch.softmax(found.similarity[:, :k] / temperature, dim=1)  # (M, k)
    rows = found.rows[:, :k]
    if labels.ndim == 1:
        return weight.new_zeros(len(weight), classes).scatter_add_(1, labels[rows], weight)
    size = max(1, VOTES // (k * classes))
    parts = [
        torch.einsum("mk,mkc->mc", weight[i : i + size], labels[rows[i : i + size]].to(weight.dtype))
        for i in range(0, len(weight), size)
    ]
    return torch.cat(parts)


def _check(queries: NDArray[Any], bank: NDArray[Any], k: int) -> None:
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise ValueError(f"queries are {queries.shape}, the bank {bank.shape}; must be (M, D) and (N, D)")
    if len(queries) == 0:
        raise ValueError("there is no query to find neighbours of")
    if not 1 <= k <= len(bank):
        raise ValueError(f"k={k} neighbours of a bank of {len(bank)} examples; k must be 1 to {len(bank)}")


def _tiles(rows: NDArray[Any], size: int, name: str, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row of each tile and its rows (B, D) float32 of unit length."""
    for first in range(0, len(rows), size):
        tile = torch.from_numpy(np.array(rows[first : first + size], dtype=np.float32)).to(device)
        yield first, _unit(tile, first, name)


def _unit(x: Tensor, first: int, name: str) -> Tensor:
    """Scale the rows (B, D) to unit length, in place where float32 can hold their squares."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if bool(((norm > 1e-15) & (norm < 1e15)).all()):
        return x.div_(norm)
    wide: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float64)
    good = wide.isfinite().flatten()
    if not bool(good.all()):
        raise ValueError(f"row {first + int((~good).int().argmax())} of the {name} is not finite")
    return (x / wide.clamp(min=torch.finfo(torch.float64).tiny)).float()


def _mask(similarity: Tensor, own: Tensor) -> None:
    """Set each query's similarity (B, T) to the column `own` (B,) to −∞, where the tile has that column."""
    inside = (own >= 0) & (own < similarity.shape[1])
    similarity[inside, own[inside]] = -torch.inf


def _merged(first: Neighbours, second: Neighbours, k: int) -> Neighbours:
    similarity = torch.cat([first.similarity, second.similarity], 1)
    top = similarity.topk(min(k, similarity.shape[1]), dim=1)
    return Neighbours(top.values, torch.cat([first.rows, second.rows], 1).gather(1, top.indices))
