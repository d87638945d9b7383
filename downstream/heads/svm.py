"""Many linear support vector machines on the same examples, solved at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK_BYTES = 2**29
"""Room for the problems that are solved side by side."""

BYTES_PER_ENTRY = 48
"""What a problem takes for each of its examples and coordinates: a dozen float32 arrays."""

NULL = 1e-12
"""Share of the largest eigenvalue below which a direction is rounding: no example reaches into it."""

LINE_STEPS = 8
CHUNK = 8192


@dataclass(frozen=True)
class Coordinates:
    """Examples with a constant 1 appended, along the principal axes of their (uncentred) scatter.

    A rotation leaves ‖w‖² and all w·x as they are, and makes the Hessian of the SVM nearly diagonal.

    Attributes:
        rows: (N, R) float32 coordinates; R is D + 1, or the rank of fewer examples.
        spectrum: (R,) float32, the sum of squares of each coordinate over the examples it was made from.
        axes: (D + 1, R) float32, orthonormal columns.
        count: how many examples it was made from.
    """

    rows: Tensor
    spectrum: Tensor
    axes: Tensor
    count: int

    @staticmethod
    def of(examples: Tensor) -> Coordinates:
        """Rotate (N, D) float32 examples; takes the eigenvectors of the smaller of scatter and Gram matrix.

        Raises:
            ValueError: no examples, or one that is not finite; names it.
        """
        if examples.ndim != 2 or len(examples) == 0:
            raise ValueError(f"examples must be (N, D) with N > 0, got {tuple(examples.shape)}")
        finite = examples.isfinite().all(1)
        if not finite.all():
            raise ValueError(f"the features of example {int(finite.int().argmin())} are not finite")
        x = with_bias(examples)
        if x.shape[1] <= len(x):
            # Any rotation is exact; that these axes are the principal ones only makes it fast.
            values, wide = torch.linalg.eigh(_scatter(x, torch.float32).double())
            axes = wide.float()
            return Coordinates(x @ axes, values.clamp(min=0).float(), axes, len(x))
        values, vectors = torch.linalg.eigh(_scatter(x.T, torch.float64))
        keep = values > NULL * values[-1]
        vectors, root = vectors[:, keep], values[keep].sqrt()
        axes = (x.T.double() @ (vectors / root)).float()
        return Coordinates((vectors * root).float(), values[keep].float(), axes, len(x))

    def take(self, index: Tensor) -> Coordinates:
        """The examples `index` in the same coordinates."""
        return replace(self, rows=self.rows[index])

    def place(self, examples: Tensor) -> Tensor:
        """Coordinates (M, R) of other examples (M, D); what lies outside the axes is of no weight."""
        return with_bias(examples) @ self.axes


def with_bias(examples: Tensor) -> Tensor:
    """Append the constant 1: (N, D) → (N, D + 1)."""
    return torch.cat([examples, examples.new_ones(len(examples), 1)], 1)


class Solved(NamedTuple):
    """Some of the problems: which (p,), their weights (R, p), their scores on all examples (N, p)."""

    problems: Tensor
    weights: Tensor
    scores: Tensor


@dataclass(frozen=True)
class SquaredHinge:
    """Minimise ½‖w‖² + C · Σ mᵢ · max(0, 1 − yᵢ w·xᵢ)², the objective of liblinear's LinearSVC.

    The bias is a feature of constant 1 and is penalised as all others (`intercept_scaling=1`); mᵢ is
    `positive_weight` for positive examples and 1 for negative ones (`class_weight`). Solved in the primal
    by nonlinear conjugate gradients (Polak–Ribière), preconditioned by the diagonal of the Hessian along
    `Coordinates`, with exact line search: two matrix products an iteration for all problems together.
    Solved problems leave the products.

    Args:
        positive_weight: mᵢ of positive examples.
        tolerance: a problem is solved when gᵀM⁻¹g ≤ tolerance · ‖w‖² for gradient g and preconditioner M;
            half of it estimates, within a factor of about five, by how much the objective is too large.
            Where w cancels out, as for features that never vary, the rounding of g is the bound.
        iterations: bound that a solvable problem stays far below.

    Raises:
        ValueError: a value out of range.
    """

    positive_weight: float = 2.0
    tolerance: float = 2e-6
    iterations: int = 5000

    def __post_init__(self) -> None:
        for name in ("positive_weight", "tolerance", "iterations"):
            if not getattr(self, name) > 0:
                raise ValueError(f"SquaredHinge: {name} must be positive, got {getattr(self, name)}")

    def solve(
        self,
        examples: Coordinates,
        signs: Tensor,
        tasks: Tensor,
        costs: Tensor,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Solved]:
        """Solve problem p, task `tasks[p]` at C = `costs[p]`; yields all problems, some at a time.

        Weights and scores of a problem that is not solved within `iterations` are NaN.

        Args:
            signs: (N, T) int8, by task: 1 for a positive, −1 for a negative example, 0 for one left out.
            tasks: (P,) int64 columns of `signs`.
            costs: (P,) C > 0.

        Raises:
            ValueError: a C that is not positive, or a task without positive or negative examples.
        """
        self._check(signs, tasks, costs)
        device = examples.rows.device
        room = BYTES_PER_ENTRY * sum(examples.rows.shape)
        order = costs.argsort()  # those of one C take about as many iterations
        size = max(1, BLOCK_BYTES // room)
        for start in range(0, len(order), size):
            block = order[start : start + size]
            y = signs[:, tasks[block].to(signs.device)].to(device, torch.float32)  # (N, p)
            cost = costs[block].to(device, torch.float32)
            weight = torch.where(y > 0, self.positive_weight, 1.0) * y.abs() * cost
            weights, scores = self._descend(examples, y, weight)
            progress(start + len(block), len(order))
            yield Solved(block, weights, scores)

    def _check(self, signs: Tensor, tasks: Tensor, costs: Tensor) -> None:
        if not bool((costs > 0).all()):
            raise ValueError(f"C must be positive, got {float(costs.min()):g}")
        for name, there in (("positive", (signs > 0).any(0)), ("negative", (signs < 0).any(0))):
            lacking = tasks[~there[tasks.to(there.device)].to(tasks.device)]
            if len(lacking):
                raise ValueError(f"task {int(lacking[0])} has no {name} example")

    def _descend(self, examples: Coordinates, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (R, p) and scores (N, p), NaN where not solved."""
        z, spectrum = examples.rows, examples.spectrum / examples.count
        solution = z.new_full((z.shape[1], y.shape[1]), torch.nan)
        margins = torch.full_like(y, torch.nan)
        here = torch.arange(y.shape[1], device=z.device)
        w, f = torch.zeros_like(solution), torch.zeros_like(y)
        direction = before = w
        decrement = z.new_zeros(y.shape[1])
        for _ in range(self.iterations):
            active = weight * y * (1 - y * f).clamp_(min=0)  # (N, p)
            gradient = w - 2 * (z.T @ active)  # (R, p)
            curvature = 2 * torch.where(active != 0, weight, 0).sum(0)  # (p,)
            diagonal = 1 + curvature * spectrum.unsqueeze(1)  # (R, p), M
            scaled = gradient / diagonal
            last, decrement = decrement, (gradient * scaled).sum(0)
            beta = (decrement - (before * scaled).sum(0)) / last
            direction = torch.where(last > 0, beta.clamp(min=0), 0) * direction - scaled
            uphill = (gradient * direction).sum(0) >= 0
            direction = torch.where(uphill, -scaled, direction)
            rounding = _rounding(active, spectrum.unsqueeze(1) / diagonal, weight)
            solved = decrement <= rounding.maximum(self.tolerance * w.square().sum(0))
            if bool(solved.any()):
                solution[:, here[solved]], margins[:, here[solved]] = w[:, solved], f[:, solved]
                left = ~solved
                if not bool(left.any()):
                    break
                here, decrement = here[left], decrement[left]
                w, gradient, direction = w[:, left], gradient[:, left], direction[:, left]
                f, y, weight = f[:, left], y[:, left], weight[:, left]
            before = gradient
            along = z @ direction  # (N, p)
            step = _line_search(w, direction, y * f, y * along, weight)
            w, f = w + step * direction, f + step * along
        return solution, margins


def _rounding(active: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    """What the rounding of gradients g = w − 2 Zᵀa alone may make of gᵀM⁻¹g: (p,).

    Sums of N products are off by up to ε (2 √N + N / 16) times their bound ‖z‖ ‖a‖, as was measured where all
    examples are alike; ‖z‖² is N times the spectrum. The same share of the objective at w = 0 bounds it.

    Args:
        active: a, (N, p). share: the spectrum over the diagonal of M, (R, p). weight: C · m, (N, p).
    """
    count = len(active)
    off = torch.finfo(active.dtype).eps * (2 * math.sqrt(count) + count / 16)
    return off**2 * (4 * count * active.square().sum(0) * share.sum(0)).minimum(weight.sum(0))


def _line_search(w: Tensor, direction: Tensor, margin: Tensor, change: Tensor, weight: Tensor) -> Tensor:
    """Minimise the objective along each direction (R, p): steps (p,).

    The slope is piecewise linear and rises; Newton's method finds its zero, held between two bounds.

    Args:
        margin, change: y · f and its change along the direction, (N, p).
    """
    constant, linear = (w * direction).sum(0), direction.square().sum(0)
    low, high = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
    step, first = low, None
    for _ in range(LINE_STEPS):
        slack = 1 - margin - step * change
        counted = weight * change * (slack > 0)
        slope = constant + step * linear - 2 * (counted * slack.clamp_(min=0)).sum(0)
        bend = linear + 2 * (counted * change).sum(0)
        first = slope.abs() if first is None else first
        if bool((slope.abs() <= 1e-3 * first).all()):
            break
        low, high = torch.where(slope <= 0, step, low), torch.where(slope > 0, step, high)
        step = step - slope / bend.clamp(min=torch.finfo(bend.dtype).tiny)
        outside = (step < low) | (step > high)
        step = torch.where(outside, torch.where(high.isinf(), low, (low + high) / 2), step)
    return step


def _scatter(x: Tensor, dtype: torch.dtype) -> Tensor:
    """XᵀX (D, D), in pieces."""
    total = torch.zeros(x.shape[1], x.shape[1], dtype=dtype, device=x.device)
    for start in range(0, len(x), CHUNK):
        piece = x[start : start + CHUNK].to(dtype)
        total.addmm_(piece.T, piece)
    return total
