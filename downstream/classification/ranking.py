"""Ranking a gallery of images for each query, and what the ranking is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.heads.neighbours import similarities


def rank(
    queries: NDArray[Any],
    wanted: NDArray[Any],
    gallery: NDArray[Any],
    labels: NDArray[Any],
    recalls: Sequence[int],
    device: torch.device,
    own: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Rank the gallery by cosine similarity for each query and compare with the labels.

    An image of the gallery is relevant if it has the query's class, or one of its classes where an image has
    several.

    Args:
        queries: (M, D). wanted: their labels, (M,) integers or (M, C) of 0 and 1.
        gallery: (N, D). labels: its labels, of the same form.
        recalls: values of k, each at most N, or at most N − 1 with `own`.
        own: (M,) the image of the gallery that each query is; it is not retrieved.

    Returns:
        (M,) each: "relevant", how many images are; "average_precision", 0 without any; "recall@k" for each
        k, the chance that one of the first k is relevant, equally similar images being ordered by lot.

    Raises:
        ValueError: k larger than the gallery; as `downstream.heads.neighbours.nearest`.
    """
    candidates = len(gallery) - (own is not None)
    if max(recalls) > candidates:
        raise ValueError(f"recall@{max(recalls)} of a gallery of {candidates} images")
    parts: list[dict[str, Tensor]] = []
    for row, similarity in similarities(queries, gallery, device, own):
        rows = slice(row, row + len(similarity))
        relevant = _relevant(wanted[rows], labels, device) & similarity.isfinite()
        part = {"relevant": relevant.sum(1), "average_precision": average_precision(similarity, relevant)}
        part |= {f"recall@{k}": recall(similarity, relevant, k) for k in recalls}
        parts.append({name: values.double().cpu() for name, values in part.items()})
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}


def average_precision(similarity: Tensor, relevant: Tensor) -> Tensor:
    """Area under each row's precision-recall steps, equal similarities forming one threshold.

    Args:
        similarity: (B, N) real. relevant: (B, N) bool.

    Returns:
        (B,) float64, 0 where nothing is relevant.
    """
    n = similarity.shape[1]
    falling, order = similarity.sort(dim=1, descending=True)
    hits = relevant.gather(1, order)
    last = torch.ones_like(hits)
    last[:, :-1] = falling[:, 1:] != falling[:, :-1]
    rank = torch.where(last, torch.arange(n, device=last.device), n)
    end = rank.flip(1).cummin(1).values.flip(1)  # last rank of the same similarity
    precision = hits.cumsum(1).gather(1, end) / (end + 1)
    total = torch.where(hits, precision, 0).sum(1, dtype=torch.float64)
    return total / hits.sum(1).clamp(min=1)


def recall(similarity: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Chance (B,) that one of the first k of each row is relevant, equal similarities drawn by lot."""
    threshold = similarity.kthvalue(similarity.shape[1] - k + 1, dim=1, keepdim=True).values
    above, equal = similarity > threshold, similarity == threshold
    seats = k - above.sum(1)  # for the equally similar, at least 1
    missed = _log_choose((equal & ~relevant).sum(1), seats) - _log_choose(equal.sum(1), seats)
    return torch.where((above & relevant).any(1), 1.0, 1 - missed.exp())


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    """Logarithm of the number of ways to choose k of n, −∞ where there is none."""
    n, k = n.double(), k.double()
    ways = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(min=0) + 1)
    return torch.where(k > n, -torch.inf, ways)


def _relevant(wanted: NDArray[Any], labels: NDArray[Any], device: torch.device) -> Tensor:
    """Whether each image of the gallery shares a class with each query: (B, N)."""
    first, second = (torch.from_numpy(np.asarray(x)).to(device) for x in (wanted, labels))
    if first.ndim == 1:
        return first[:, None] == second
    shared: Tensor = first.float() @ second.float().T
    return shared > 0
