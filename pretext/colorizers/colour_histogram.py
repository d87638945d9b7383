"""Histograms of a colour field, and a field moved towards one (LEARCH's last step)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

FARTHEST, STEP = 3.0, 0.05
SIDE = 121
"""Bins along each axis, of which one is centred at 0."""

_BLUR = 0.15
_STEPS, _LONGEST = 9, 0.1


def histogram(field: Tensor) -> Tensor:
    """Shares (121, 121) of pixels (2, H, W) at c1 (rows) and c2 from −3 to 3, split between the nearest bins.

    Differentiable; what lies outside counts at the border.
    """
    place = ((field.reshape(2, -1) + FARTHEST) / STEP).clamp(0, SIDE - 1)
    low = place.detach().floor().clamp(max=SIDE - 2)
    part = place - low
    counts = field.new_zeros(SIDE * SIDE)
    for down in (0, 1):
        for right in (0, 1):
            share = (part[0] if down else 1 - part[0]) * (part[1] if right else 1 - part[1])
            cell = ((low[0] + down) * SIDE + low[1] + right).long()
            counts = counts.index_add(0, cell, share)
    return counts.view(SIDE, SIDE) / part.shape[1]


def mismatch(field: Tensor, target: Tensor) -> Tensor:
    """−log of Bhattacharyya's coefficient of two densities, each a histogram blurred by 0.15: () from 0."""
    one, two = _density(histogram(field)), _density(target)
    return -((one + 1e-12) * (two + 1e-12)).sqrt().sum().clamp(1e-12, 1).log()


def _density(shares: Tensor) -> Tensor:
    reach = int(4 * _BLUR / STEP)
    place = torch.arange(-reach, reach + 1, dtype=shares.dtype) * STEP
    bell = torch.exp(-(place**2) / (2 * _BLUR**2))
    bell = bell / bell.sum()
    padded = F.pad(shares[None, None], [reach] * 4)
    blurred = F.conv2d(F.conv2d(padded, bell[None, None, :, None]), bell[None, None, None])[0, 0]
    return blurred / blurred.sum()


def towards(
    field: Tensor, target: Tensor, responses: Callable[[Tensor], Tensor], asked: Tensor, weight: float = 5.0
) -> tuple[Tensor, list[float]]:
    """A field (2, H, W) after at most nine steps down `mismatch` + weight · mean over pixels of |A·x − b|².

    Along the gradient, scaled so that no colour moves by more than it is long, each step has the best of
    eleven lengths from 0 to 0.1; at 0 it ends.

    Args:
        responses: A, linear and differentiable: (1, 2, H, W) to (1, K, H, W). asked: b (1, K, H, W).

    Returns: the field, and the objective before the first step and after each.
    """
    step = torch.linspace(0, _LONGEST, 11, dtype=field.dtype)

    def objective(moved: Tensor) -> Tensor:
        return mismatch(moved, target) + weight * (responses(moved[None]) - asked).square().sum(1).mean()

    values = [float(objective(field))]
    for _ in range(_STEPS):
        with torch.enable_grad():
            leaf = field.detach().requires_grad_()
            (slope,) = torch.autograd.grad(objective(leaf), leaf)
        largest = slope.square().sum(0).sqrt().max()
        if not largest > 0:
            break
        along = slope / largest
        # A is linear: along the line the squares are a parabola, for which two answers are enough.
        left, change = responses(field[None]) - asked, responses(along[None])
        squares = [
            (one * other).sum(1).mean() for one, other in ((left, left), (left, change), (change, change))
        ]
        bound = squares[0] - 2 * step * squares[1] + step**2 * squares[2]
        apart = torch.stack([mismatch(field - length * along, target) for length in step])
        costs = apart + weight * bound
        best = int(costs.argmin())
        if best == 0:
            break
        field = field - step[best] * along
        values.append(float(costs[best]))
    return field, values
