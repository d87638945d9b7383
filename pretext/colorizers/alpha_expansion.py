"""Labels that cost little and lie smoothly: α-expansion (Boykov et al. 2001, doi:10.1109/34.969114).

The energy of labels f is Σ_p D(p, f_p) + Σ_pq w_pq · V(f_p, f_q), V a metric on labels. An expansion of α
lets every node keep its label or take α; the best such move is a minimal cut. Costs are whole numbers, in
which the energy is exact and V is a metric still, so that no move raises it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

Whole = NDArray[np.int64]

_FINEST = 1024
"""Steps to which the largest distance and the largest weight are resolved."""

_CAPACITY = 2**29
"""What one node's costs may add up to: capacities are 32 bits wide."""


class Problem(NamedTuple):
    """Costs of labels, in whole steps.

    Attributes:
        unary: (N, L), D(p, l).
        edges: (E, 2), pairs of nodes, each once.
        weights: (E,) from 0.
        distance: (L, L), V, a metric.
        step: what one step is worth in the units that were given.
    """

    unary: Whole
    edges: Whole
    weights: Whole
    distance: Whole
    step: float


def pose(
    unary: NDArray[np.floating],
    edges: Whole,
    weights: NDArray[np.floating],
    distance: NDArray[np.floating],
) -> Problem:
    """Costs rounded to whole steps; where rounding made a detour shorter, it becomes the distance.

    Args:
        unary: (N, L), finite.
        edges: (E, 2), each pair of nodes once.
        weights: (E,) from 0, finite.
        distance: (L, L), a metric: 0 from a label to itself, symmetric, no detour shorter.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, negative weights, or no metric.
    """
    _check(unary, edges, weights, distance)
    farthest, heaviest = float(distance.max(initial=0)), float(weights.max(initial=0))
    lowest = unary.min(1, keepdims=True)  # what any label costs moves no label
    spread = float((unary - lowest).max())
    degree = int(np.bincount(edges.ravel(), minlength=1).max())
    pairs = farthest * heaviest
    finest = [_CAPACITY / spread] if spread > 0 else []
    if pairs > 0:
        finest += [_FINEST**2 / pairs, _CAPACITY / (pairs * degree)]
    scale = min(finest, default=1.0)
    if pairs == 0:
        whole_weights, whole_distance = np.zeros(len(weights)), np.zeros_like(distance)
    else:
        by_weight = min(_FINEST, np.sqrt(scale * pairs)) / heaviest
        whole_weights = np.rint(weights * by_weight)
        whole_distance = np.rint(distance * (scale / by_weight))
        for via in range(len(whole_distance)):
            whole_distance = np.minimum(whole_distance, whole_distance[:, [via]] + whole_distance[via])
    return Problem(
        np.rint((unary - lowest) * scale).astype(np.int64),
        np.asfortranarray(edges, dtype=np.int64),  # both ends are read in a row
        whole_weights.astype(np.int64),
        whole_distance.astype(np.int64),
        1 / scale,
    )


def _check(
    unary: NDArray[np.floating],
    edges: Whole,
    weights: NDArray[np.floating],
    distance: NDArray[np.floating],
) -> None:
    if unary.ndim != 2 or not unary.size or not np.isfinite(unary).all():
        raise ValueError(f"alpha_expansion.pose takes finite unary costs (N, L), got {unary.shape}")
    nodes, labels = unary.shape
    if edges.ndim != 2 or edges.shape[1] != 2 or weights.shape != (len(edges),):
        raise ValueError(
            f"alpha_expansion.pose takes edges (E, 2) and weights (E,), got {edges.shape} and {weights.shape}"
        )
    if edges.size and not (edges.min() >= 0 and edges.max() < nodes and (edges[:, 0] != edges[:, 1]).all()):
        raise ValueError(
            f"alpha_expansion.pose takes edges between two of {nodes} nodes, got {edges.tolist()[:9]} …"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("alpha_expansion.pose takes finite weights from 0")
    if distance.shape != (labels, labels) or not np.isfinite(distance).all():
        raise ValueError(
            f"alpha_expansion.pose takes finite distances {labels, labels}, got {distance.shape}"
        )
    slack = 1e-9 * max(1.0, float(distance.max()))
    detour = min(float((distance[:, [k]] + distance[k] - distance).min()) for k in range(labels))
    if np.abs(np.diag(distance)).max() > 0 or np.abs(distance - distance.T).max() > slack or detour < -slack:
        raise ValueError(
            "alpha_expansion.pose takes a metric: 0 to itself, symmetric, and no detour is shorter"
        )


def grid_edges(height: int, width: int, diagonal: bool = False) -> Whole:
    """Pairs of neighbouring pixels (E, 2), numbered row by row: 4 neighbours, or 8 with `diagonal`."""
    number = np.arange(height * width).reshape(height, width)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    if diagonal:
        pairs += [(number[:-1, :-1], number[1:, 1:]), (number[:-1, 1:], number[1:, :-1])]
    return np.concatenate([np.stack([one.ravel(), two.ravel()], 1) for one, two in pairs])


def energy(problem: Problem, labels: Whole) -> int:
    """What labels (N,) cost, in steps, above the cheapest label of every node."""
    own = np.take_along_axis(problem.unary, labels[:, None], 1).sum()
    one, two = labels[problem.edges].T
    return int(own + (problem.weights * problem.distance[one, two]).sum())


def expand(problem: Problem, labels: Whole, alpha: int) -> Whole:
    """The best labels (N,) in which every node keeps its own or takes `alpha`, which is to pay."""
    free = _may_take(problem, labels, alpha)
    if not free.any():
        return labels
    place = np.cumsum(free) - 1
    nodes = np.flatnonzero(free)
    taking = problem.unary[nodes, alpha] - problem.unary[nodes, labels[nodes]]  # what it costs to take α
    one, two = problem.edges.T
    touching = (free[one] | free[two]) & (problem.weights > 0)
    one, two, weights = one[touching], two[touching], problem.weights[touching]
    neither = weights * problem.distance[labels[one], labels[two]]
    second = weights * problem.distance[labels[one], alpha]
    first = weights * problem.distance[alpha, labels[two]]
    both_free = free[one] & free[two]
    np.add.at(taking, place[one[both_free]], (first - neither)[both_free])
    np.subtract.at(taking, place[two[both_free]], first[both_free])
    held = free[one] & ~free[two]  # the other keeps its label
    np.add.at(taking, place[one[held]], (first - neither)[held])
    held = free[two] & ~free[one]
    np.add.at(taking, place[two[held]], (second - neither)[held])
    through = (second + first - neither)[both_free]
    take = _least_cut(taking, place[one[both_free]], place[two[both_free]], through)
    moved = labels.copy()
    moved[nodes[take]] = alpha
    return moved


def _may_take(problem: Problem, labels: Whole, alpha: int) -> NDArray[np.bool_]:
    """Nodes (N,) whose taking α may pay: by the triangle's inequality an edge gains w · V(own, α) at most."""
    nodes = np.arange(len(labels))
    around = np.bincount(
        problem.edges.ravel(), np.repeat(problem.weights, 2).astype(float), minlength=len(labels)
    )
    gain = around * problem.distance[labels, alpha]
    loss = problem.unary[nodes, alpha] - problem.unary[nodes, labels]
    return np.asarray((labels != alpha) & (loss < gain) | (labels != alpha) & (loss < 0))


def _least_cut(taking: Whole, one: Whole, two: Whole, through: Whole) -> NDArray[np.bool_]:
    """Which nodes (n,) take, so that Σ taking over them, and `through` where the second alone does, is least.

    The source's side keeps. Where keeping costs no more it keeps: taking are those from which the sink can be
    reached in what the flow leaves.
    """
    count = len(taking)
    source, sink = count, count + 1
    dear, cheap = np.flatnonzero(taking > 0), np.flatnonzero(taking < 0)
    if not len(cheap):
        return np.zeros(count, bool)
    rows = np.concatenate([one, two, np.full(len(dear), source), dear, cheap, np.full(len(cheap), sink)])
    columns = np.concatenate([two, one, dear, np.full(len(dear), source), np.full(len(cheap), sink), cheap])
    values = np.concatenate(
        [
            through,
            np.zeros_like(through),
            taking[dear],
            np.zeros(len(dear)),
            -taking[cheap],
            np.zeros(len(cheap)),
        ]
    ).astype(np.int32)
    capacity = csr_array((values, (rows, columns)), (count + 2, count + 2), dtype=np.int32)
    capacity.sort_indices()
    flow = maximum_flow(capacity, source, sink, method="dinic").flow
    left = csr_array(capacity - flow)
    left.eliminate_zeros()
    reached = breadth_first_order(csr_array(left.T), sink, return_predecessors=False)
    take = np.zeros(count + 2, bool)
    take[reached] = True
    return take[:count]


def sweeps(problem: Problem, labels: Whole, most: int) -> Iterator[Whole]:
    """Labels (N,) after each sweep over all α, until one changes nothing, or so many are done."""
    for _ in range(most):
        before = labels
        for alpha in range(problem.unary.shape[1]):
            labels = expand(problem, labels, alpha)
        yield labels
        if np.array_equal(before, labels):
            return


def least(problem: Problem, most: int) -> Whole:
    """Labels (N,) from each node's cheapest on, by at most so many sweeps.

    Raises:
        ValueError: fewer than one sweep.
    """
    if most < 1:
        raise ValueError(f"alpha_expansion.least takes sweeps from 1, got {most}")
    *_, last = sweeps(problem, problem.unary.argmin(1), most)
    return last
