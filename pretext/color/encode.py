"""Soft encoding of ab colours over their nearest bins, after Zhang, Isola & Efros 2016 (arXiv:1603.08511).

A table says, for each cell of an ab grid, which bins can be among the k nearest of any point in the cell: 12
candidates for k = 5. Distances to those alone, then a small selection network, give what a search of all 313
bins gives.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from pretext.color.gamut import N_BINS, bins

AB_LIMIT = 250.0  # the table's reach; the colours of RGB images stay within 108
MAX_NEIGHBORS = 16

_CELL = 5.0  # side of the table's cells
_INDEX_BITS = 9  # 313 bins
_CHUNK = 8192  # colours at a time on a CPU: their candidates stay in cache


class SoftTargets(NamedTuple):
    """A distribution over the 313 bins at each position, given by the few bins that are not zero."""

    bins: Tensor  # (B, K, h, w), int64: bins, nearest first, so that bins[:, 0] is the arg-max bin
    weights: Tensor  # (B, K, h, w), float32: sums to 1 over K


@torch.no_grad()
def soft_encode(ab: Tensor, neighbors: int = 5, sigma: float = 5.0) -> SoftTargets:
    """Spread each colour over its nearest bins by a Gaussian kernel, normalised over them.

    Of bins at the same distance the lower one counts as nearer. The paper writes 5 neighbours; the authors'
    training code used 10.

    Args:
        ab: (B, 2, h, w), floating point. Values beyond ±250, which no RGB image reaches, are first clamped. A
            colour that is not finite gets valid bins with NaN weights (and so a NaN loss).
        neighbors: bins a colour, in [1, 16].
        sigma: standard deviation of the kernel, in ab units.

    Returns:
        The targets, without gradient, on the device of ``ab``.

    Raises:
        ValueError: ``ab`` is no floating-point (B, 2, h, w), or ``neighbors`` or ``sigma`` is out of range.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive; got {sigma}")
    keys = _nearest(ab, neighbors)  # (B, K, h, w)
    squared_distance = (keys >> _INDEX_BITS).int().view(torch.float32)
    return SoftTargets(
        bins=keys & ((1 << _INDEX_BITS) - 1),
        weights=(squared_distance * (-0.5 / sigma**2)).softmax(1),
    )


@torch.no_grad()
def nearest_bin(ab: Tensor) -> Tensor:
    """The bin nearest to each colour: (B, 2, h, w) -> (B, h, w), int64; ties and limits as in soft_encode."""
    return _nearest(ab, 1)[:, 0] & ((1 << _INDEX_BITS) - 1)


def has_color(ab: Tensor, threshold: float = 5.0) -> Tensor:
    """Which images have a colour at all: those where |a| or |b| somewhere exceeds ``threshold``.

    Gray images say nothing about colour; the authors give them weight 0 and test the sub-sampled ab.

    Args:
        ab: (B, 2, h, w), at the stride of the target.
        threshold: in ab units.

    Returns:
        (B,), bool.
    """
    # Not `> threshold`: an image with a NaN must not pass for a gray one.
    return ~(ab.abs().flatten(1).amax(1) <= threshold)


def _nearest(ab: Tensor, neighbors: int) -> Tensor:
    """Keys of the nearest bins, nearest first, (B, K, h, w): bits of the squared distance, then the bin."""
    if ab.dim() != 4 or ab.shape[1] != 2 or not ab.is_floating_point():
        raise ValueError(
            f"ab must be a floating-point (B, 2, h, w) tensor; got {tuple(ab.shape)}, {ab.dtype}"
        )
    if not 1 <= neighbors <= MAX_NEIGHBORS:
        raise ValueError(f"neighbors must be in [1, {MAX_NEIGHBORS}]; got {neighbors}")
    batch, _, height, width = ab.shape
    a, b = ab.float().unbind(1)
    a, b = a.reshape(-1), b.reshape(-1)  # (N,), N = B h w
    chunk = _CHUNK if ab.device.type == "cpu" else max(1, len(a))
    keys = torch.empty(neighbors, len(a), dtype=torch.int64, device=ab.device)
    for a_piece, b_piece, out in zip(
        torch.split(a, chunk), torch.split(b, chunk), torch.split(keys, chunk, dim=1), strict=True
    ):
        for row, key in zip(
            out, _smallest(_candidate_keys(a_piece, b_piece, neighbors), neighbors), strict=True
        ):
            row.copy_(key)
    return keys.view(neighbors, batch, height, width).transpose(0, 1).contiguous()


def _candidate_keys(a: Tensor, b: Tensor, neighbors: int) -> Tensor:
    """Keys of all candidates of each colour: (N,), (N,) -> (C, N)."""
    # x - x is 0, or NaN where x is not finite: the clamp must not turn an infinite value into a colour.
    a, b = a.clamp(-AB_LIMIT, AB_LIMIT) + (a - a), b.clamp(-AB_LIMIT, AB_LIMIT) + (b - b)
    table = _candidates(neighbors, a.device)  # (side, side, C)
    side, _, width = table.shape
    row = _cell(a, side).mul_(side).add_(_cell(b, side))
    index = table.view(-1, width).index_select(0, row).t().contiguous()  # (C, N)
    squared_distance = _coordinate(0, index).sub_(a).square_()
    squared_distance += _coordinate(1, index).sub_(b).square_()
    # The bits of a float that is not negative grow with it.
    return squared_distance.view(torch.int32).long().bitwise_left_shift_(_INDEX_BITS).bitwise_or_(index)


def _cell(values: Tensor, side: int) -> Tensor:
    return values.add(AB_LIMIT).mul_(1 / _CELL).nan_to_num_(0).int().clamp_(max=side - 1)


def _coordinate(channel: int, index: Tensor) -> Tensor:
    return _columns(index.device)[channel].index_select(0, index.view(-1)).view_as(index)


def _smallest(keys: Tensor, count: int) -> list[Tensor]:
    """The ``count`` smallest of (C, N) over C, ascending: bubble passes over whole rows."""
    rows = list(keys.unbind(0))
    for done in range(count):
        for i in range(len(rows) - 1, done, -1):
            smaller = torch.minimum(rows[i - 1], rows[i])
            if done < count - 1:
                rows[i] = torch.maximum(rows[i - 1], rows[i])
            rows[i - 1] = smaller
    return rows[:count]


@lru_cache(maxsize=8)
def _columns(device: torch.device) -> tuple[Tensor, Tensor]:
    a, b = bins(device).unbind(1)
    return a.contiguous(), b.contiguous()


@lru_cache(maxsize=16)
def _candidates(neighbors: int, device: torch.device) -> Tensor:
    """Bins that can be among the ``neighbors`` nearest of a point in each cell: (side, side, C), int32.

    A difference of squared distances is affine in the point, so that a bin which is nearer than another at a
    cell's four corners is nearer in the whole cell: a bin that ``neighbors`` others beat so is no candidate.
    """
    low_corners = torch.arange(-AB_LIMIT, AB_LIMIT, _CELL, dtype=torch.float64)
    side = len(low_corners)
    corners = torch.cartesian_prod(low_corners, low_corners)  # (side², 2)
    centers, center_bins = corners + _CELL / 2, bins().double()
    distance, index = torch.cdist(centers, center_bins).sort(1)
    # A bin farther than the k-th nearest of the centre by more than a diagonal is never among the k nearest.
    reach = distance[:, neighbors - 1, None] + _CELL * 2**0.5 + 1e-6
    index = index[:, : int((distance <= reach).sum(1).max())]  # (side², M)
    offsets = torch.tensor([[0, 0], [0, _CELL], [_CELL, 0], [_CELL, _CELL]], dtype=torch.float64)
    at_corners = torch.stack(
        [(center_bins[index] - (corners + offset)[:, None]).square().sum(2) for offset in offsets], 2
    )  # (side², M, 4)
    losses = torch.stack(
        [(at_corners < at_corners[:, i : i + 1] - 1e-6).all(2).sum(1) for i in range(index.shape[1])], 1
    )
    candidate = losses < neighbors  # (side², M)
    width = int(candidate.sum(1).max())
    # Cells with fewer candidates are filled up with the bins that are next: they lose in any case.
    order = (~candidate).to(torch.int8).sort(dim=1, stable=True).indices[:, :width]
    return index.gather(1, order).view(side, side, width).int().to(device)


assert N_BINS < 1 << _INDEX_BITS
