"""α-expansion against every labelling of small grids, every expansion, and cuts that networkx finds."""

from __future__ import annotations

import itertools

import networkx
import numpy as np
import pytest
from numpy.typing import NDArray

from pretext.colorizers.alpha_expansion import Problem, energy, expand, grid_edges, least, pose, sweeps


def random_problem(seed: int, side: int, labels: int, diagonal: bool, potts: bool = False) -> Problem:
    draw = np.random.default_rng(seed)
    edges = grid_edges(side, side, diagonal)
    points = draw.normal(size=(labels, 2))
    metric = np.linalg.norm(points[:, None] - points, axis=-1)
    distance = 1.0 - np.eye(labels) if potts else metric
    return pose(draw.uniform(0, 2, (side * side, labels)), edges, draw.uniform(0, 1.5, len(edges)), distance)


def slow_energy(problem: Problem, labels: tuple[int, ...]) -> int:
    total = sum(int(problem.unary[p, label]) for p, label in enumerate(labels))
    for (p, q), weight in zip(problem.edges.tolist(), problem.weights.tolist(), strict=True):
        total += weight * int(problem.distance[labels[p], labels[q]])
    return total


def test_edges_of_a_grid() -> None:
    assert sorted(map(tuple, grid_edges(2, 3).tolist())) == [
        (0, 1),
        (0, 3),
        (1, 2),
        (1, 4),
        (2, 5),
        (3, 4),
        (4, 5),
    ]
    crossed = {frozenset(pair) for pair in grid_edges(2, 3, diagonal=True).tolist()}
    near = {
        frozenset((p, q))
        for p, q in itertools.combinations(range(6), 2)
        if abs(p // 3 - q // 3) <= 1 and abs(p % 3 - q % 3) <= 1
    }
    assert crossed == near


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("diagonal", [False, True])
def test_two_labels_are_solved_exactly(seed: int, diagonal: bool) -> None:
    problem = random_problem(seed, 3, 2, diagonal)
    best = min(slow_energy(problem, labels) for labels in itertools.product((0, 1), repeat=9))
    assert energy(problem, least(problem, 5)) == best


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("diagonal", [False, True])
def test_an_expansion_of_three_labels_is_the_best_of_all(seed: int, diagonal: bool) -> None:
    problem = random_problem(seed, 3, 3, diagonal)
    start = np.random.default_rng(seed).integers(0, 3, 9)
    for alpha in range(3):
        moved = expand(problem, start, alpha)
        assert ((moved == start) | (moved == alpha)).all()
        moves = itertools.product(*({int(own), alpha} for own in start))
        assert energy(problem, moved) == min(slow_energy(problem, move) for move in moves)


@pytest.mark.parametrize("seed", range(6))
def test_three_labels_end_within_the_known_bound_and_mostly_at_the_best(seed: int) -> None:
    problem = random_problem(seed, 3, 3, diagonal=False, potts=True)
    best = min(slow_energy(problem, labels) for labels in itertools.product(range(3), repeat=9))
    found = energy(problem, least(problem, 9))
    assert best <= found <= 2 * best
    assert found <= 1.02 * best


def test_a_node_may_take_beside_one_that_could_but_should_not() -> None:
    """By hand: of three nodes in a row the last alone takes 2, which costs it 1 and saves 1.5."""
    unary = np.array([[0, 9, 9], [0, 9, 2.5], [9, 1.5, 0]])
    distance = np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0)))
    problem = pose(unary, np.array([[0, 1], [1, 2]]), np.ones(2), distance)
    assert expand(problem, np.array([0, 0, 1]), 2).tolist() == [0, 0, 2]


def test_no_move_raises_the_energy_and_sweeps_end() -> None:
    problem = random_problem(0, 14, 7, diagonal=True)
    labels = np.random.default_rng(1).integers(0, 7, 196)
    costs = [energy(problem, labels)]
    for alpha in range(7):
        labels = expand(problem, labels, alpha)
        costs.append(energy(problem, labels))
    assert costs == sorted(costs, reverse=True)
    after = [energy(problem, swept) for swept in sweeps(problem, labels, 20)]
    assert len(after) < 20
    assert [costs[-1], *after] == sorted([costs[-1], *after], reverse=True)
    assert after[-1] < costs[0]


def test_whole_steps_are_close_to_what_was_given_and_a_metric_still() -> None:
    draw = np.random.default_rng(3)
    points, edges = draw.normal(size=(9, 2)), grid_edges(6, 5)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    unary, weights = draw.uniform(-3, 20, (30, 9)), draw.uniform(0, 0.01, len(edges))
    problem = pose(unary, edges, weights, distance)
    whole = problem.distance
    assert (whole[:, :, None] + whole[None] >= whole[:, None, :]).all()
    line = np.abs(np.subtract.outer(points[:, 0], points[:, 0]))  # every detour on the way is as short
    whole = pose(unary, edges, weights, line).distance
    assert (whole[:, :, None] + whole[None] >= whole[:, None, :]).all()
    labels = draw.integers(0, 9, 30)
    pairs = sum(w * distance[labels[p], labels[q]] for w, (p, q) in zip(weights, edges, strict=True))
    own = sum(unary[i, label] - unary[i].min() for i, label in enumerate(labels))
    assert energy(problem, labels) * problem.step == pytest.approx(own + pairs, rel=5e-3)
    apart = pose(0 * unary, edges, weights, distance)
    assert energy(apart, labels) * apart.step == pytest.approx(pairs, rel=5e-3)


def test_a_larger_cut_is_that_of_networkx() -> None:
    problem = random_problem(5, 12, 2, diagonal=False, potts=True)
    graph = networkx.DiGraph()
    for node, (zero, one) in enumerate(problem.unary.tolist()):
        graph.add_edge("s", node, capacity=one)
        graph.add_edge(node, "t", capacity=zero)
    for (p, q), weight in zip(problem.edges.tolist(), problem.weights.tolist(), strict=True):
        for ends in ((p, q), (q, p)):
            graph.add_edge(*ends, capacity=weight * int(problem.distance[0, 1]))
    assert energy(problem, least(problem, 3)) == networkx.minimum_cut_value(graph, "s", "t")


def test_what_is_as_good_stays() -> None:
    problem = pose(np.zeros((4, 2)), grid_edges(2, 2), np.ones(4), 1.0 - np.eye(2))
    labels = np.ones(4, int)
    assert expand(problem, labels, 0).tolist() == [1, 1, 1, 1]


def test_without_weights_every_node_takes_its_cheapest() -> None:
    unary: NDArray[np.float64] = np.random.default_rng(0).normal(size=(25, 4)) - 3
    problem = pose(unary, grid_edges(5, 5), np.zeros(40), 1.0 - np.eye(4))
    labels = np.zeros(25, int)
    for alpha in range(4):
        labels = expand(problem, labels, alpha)
    assert labels.tolist() == unary.argmin(1).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unary": np.full((4, 2), np.nan)}, "finite unary"),
        ({"weights": np.array([-1.0, 1, 1, 1])}, "weights from 0"),
        ({"weights": np.ones(3)}, "weights .E,., got"),
        ({"edges": np.array([[0, 1], [1, 3], [2, 3], [3, 4]])}, "4 nodes"),
        ({"distance": np.array([[0, 1.0], [2, 0]])}, "metric"),
        ({"distance": np.array([[1.0, 1], [1, 0]])}, "metric"),
        ({"distance": np.zeros((3, 3))}, r"\(2, 2\)"),
    ],
)
def test_what_is_no_problem_is_refused(change: dict[str, NDArray[np.float64]], message: str) -> None:
    good = {
        "unary": np.zeros((4, 2)),
        "edges": grid_edges(2, 2),
        "weights": np.ones(4),
        "distance": 1 - np.eye(2),
    }
    with pytest.raises(ValueError, match=message):
        pose(**{**good, **change})


def test_a_distance_with_a_shorter_detour_is_refused() -> None:
    square = np.subtract.outer(range(3), range(3)) ** 2.0
    with pytest.raises(ValueError, match="detour"):
        pose(np.zeros((4, 3)), grid_edges(2, 2), np.ones(4), square)
    with pytest.raises(ValueError, match="from 1, got 0"):
        least(pose(np.zeros((4, 2)), grid_edges(2, 2), np.ones(4), 1 - np.eye(2)), 0)
