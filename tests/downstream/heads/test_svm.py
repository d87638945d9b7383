"""The batched SVM against liblinear: objective, scores, average precision, and what it refuses."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from sklearn.svm import LinearSVC
from torch import Tensor

from downstream.heads import svm
from downstream.heads.svm import Coordinates, Solved, SquaredHinge, with_bias

COSTS = (*(10.0**e for e in range(-7, 3)), *(0.5**e for e in (4, 11, 19)))


def rectified(examples: int, width: int, seed: int = 0) -> tuple[Tensor, NDArray[np.int64]]:
    """Rows of unit length as an encoder's: not negative, one strong common direction, a decaying spectrum."""
    generator = np.random.default_rng(seed)
    decay = np.arange(1, width + 1) ** -0.7
    mixing = np.random.default_rng(1).normal(size=(width, width)) * decay[:, None]
    labels = generator.integers(0, 4, examples)
    hidden = generator.normal(size=(examples, width))
    hidden[np.arange(examples), 5 + labels] += 1.5
    features = np.maximum(hidden @ mixing + 0.5, 0)
    features /= np.linalg.norm(features, axis=1, keepdims=True) + 1e-5
    return torch.from_numpy(features.astype(np.float32)), labels


def signs_of(labels: NDArray[np.int64], *classes: int) -> Tensor:
    return torch.from_numpy(np.stack([np.where(labels == c, 1, -1) for c in classes], 1).astype(np.int8))


def together(solved: list[Solved], examples: Coordinates, problems: int) -> tuple[Tensor, Tensor]:
    """Weights of the features and bias (D + 1, P), and scores (N, P), in the order of the problems."""
    weights = torch.full((examples.rows.shape[1], problems), torch.nan)
    scores = torch.full((len(examples.rows), problems), torch.nan)
    for part in solved:
        weights[:, part.problems], scores[:, part.problems] = part.weights, part.scores
    return examples.axes @ weights, scores


def objective(examples: Tensor, w: Tensor, signs: Tensor, cost: float) -> float:
    x, w, y = with_bias(examples).double(), w.double(), signs.double()
    slack = (1 - y * (x @ w)).clamp(min=0)
    weight = torch.where(y > 0, 2.0, 1.0) * y.abs()
    return float(0.5 * w @ w + cost * (weight * slack.square()).sum())


def liblinear(examples: Tensor, signs: Tensor, cost: float, dual: bool) -> Tensor:
    """Coordinate descent in the dual, or where it is slow (more examples than channels) Newton's method."""
    model = LinearSVC(C=cost, class_weight={1: 2, -1: 1}, tol=1e-7, dual=dual, max_iter=50000, random_state=0)
    model.fit(examples.double().numpy(), signs.numpy())
    return torch.from_numpy(np.append(model.coef_[0], model.intercept_))


@pytest.mark.parametrize(("examples", "width"), [(150, 240), (400, 30)])
def test_objective_scores_and_average_precision_are_liblinears(examples: int, width: int) -> None:
    features, labels = rectified(2 * examples, width)
    train, held = features[:examples], features[examples:]
    signs = signs_of(labels[:examples], 0, 3)
    coordinates = Coordinates.of(train)
    tasks, costs = torch.arange(2).repeat_interleave(len(COSTS)), torch.tensor(COSTS).repeat(2)
    w, scores = together(
        list(SquaredHinge().solve(coordinates, signs, tasks, costs)), coordinates, len(tasks)
    )
    torch.testing.assert_close(scores, with_bias(train) @ w, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        coordinates.place(held) @ (coordinates.axes.T @ w), with_bias(held) @ w, atol=1e-4, rtol=1e-3
    )
    for p in range(len(tasks)):
        task, cost = int(tasks[p]), float(costs[p])
        truth = liblinear(train, signs[:, task], cost, dual=examples < width)
        wanted = objective(train, truth, signs[:, task], cost)
        assert objective(train, w[:, p], signs[:, task], cost) == pytest.approx(wanted, rel=2e-4), cost
        positive = labels[examples:] == (0, 3)[task]
        found = average_precision_score(positive, (with_bias(held) @ w[:, p]).numpy())
        right = average_precision_score(positive, (with_bias(held).double() @ truth).numpy())
        assert found == pytest.approx(right, abs=3e-3), cost


def test_examples_left_out_count_for_nothing() -> None:
    features, labels = rectified(200, 300)
    signs = signs_of(labels, 1)
    kept = torch.arange(200) % 3 > 0
    masked = torch.where(kept[:, None], signs, 0).to(torch.int8)
    whole, part = Coordinates.of(features), Coordinates.of(features[kept])
    costs = torch.tensor([1e-4, 0.1, 10.0])
    solver, tasks = SquaredHinge(tolerance=1e-8), torch.zeros(3, dtype=torch.int64)
    w, _ = together(list(solver.solve(whole, masked, tasks, costs)), whole, 3)
    alone, _ = together(list(solver.solve(part, signs[kept], tasks, costs)), part, 3)
    taken = whole.take(kept.nonzero().squeeze(1))
    again, scores = together(list(solver.solve(taken, signs[kept], tasks, costs)), taken, 3)
    for found in (w, again):
        torch.testing.assert_close(
            with_bias(features) @ found, with_bias(features) @ alone, atol=2e-3, rtol=1e-2
        )
    torch.testing.assert_close(scores, with_bias(features[kept]) @ again, atol=1e-4, rtol=1e-3)


def test_problems_are_solved_as_if_alone_and_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = rectified(120, 60)
    signs, coordinates = signs_of(labels, 0, 1, 2), Coordinates.of(features)
    tasks, costs = torch.tensor([2, 0, 1, 0, 2]), torch.tensor([1.0, 10.0, 1e-3, 1e-5, 0.1])
    solver = SquaredHinge(tolerance=1e-8)
    at_once, _ = together(list(solver.solve(coordinates, signs, tasks, costs)), coordinates, 5)
    monkeypatch.setattr(svm, "BLOCK_BYTES", 2 * svm.BYTES_PER_ENTRY * sum(coordinates.rows.shape))
    seen: list[tuple[int, int]] = []
    parts = list(solver.solve(coordinates, signs, tasks, costs, lambda done, of: seen.append((done, of))))
    assert [len(part.problems) for part in parts] == [2, 2, 1]
    assert seen == [(2, 5), (4, 5), (5, 5)]
    in_blocks, _ = together(parts, coordinates, 5)
    torch.testing.assert_close(in_blocks, at_once, atol=1e-3, rtol=1e-2)
    for p in range(5):
        single = list(solver.solve(coordinates, signs, tasks[p : p + 1], costs[p : p + 1]))
        torch.testing.assert_close(
            together(single, coordinates, 1)[0][:, 0], at_once[:, p], atol=1e-3, rtol=1e-2
        )


def test_repeated_constant_and_zero_channels_do_no_harm() -> None:
    features, labels = rectified(90, 12)
    more = torch.cat([features, features, torch.full((90, 1), 0.2), torch.zeros(90, 2)], 1)
    costs, tasks = torch.tensor([1.0]), torch.zeros(1, dtype=torch.int64)
    for examples, rank in ((90, 28), (20, 13)):
        some, signs = more[:examples], signs_of(labels[:examples], 0)
        coordinates = Coordinates.of(some)
        assert coordinates.rows.shape == (examples, rank)
        w, _ = together(list(SquaredHinge().solve(coordinates, signs, tasks, costs)), coordinates, 1)
        truth = liblinear(some, signs[:, 0], 1.0, dual=False)
        wanted = objective(some, truth, signs[:, 0], 1.0)
        assert objective(some, w[:, 0], signs[:, 0], 1.0) == pytest.approx(wanted, rel=2e-4)


def test_a_large_cost_separates_what_can_be_separated() -> None:
    features, labels = rectified(60, 200)
    coordinates, signs = Coordinates.of(features), signs_of(labels, 2)
    tasks = torch.zeros(1, dtype=torch.int64)
    (found,) = SquaredHinge().solve(coordinates, signs, tasks, torch.tensor([1000.0]))
    assert bool((found.scores * signs > 0).all())


def test_what_cannot_be_solved_is_named() -> None:
    features, labels = rectified(60, 20)
    coordinates, signs = Coordinates.of(features), signs_of(labels, 0, 9)
    zero, one = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64)
    with pytest.raises(ValueError, match="task 1 has no positive example"):
        list(SquaredHinge().solve(coordinates, signs, one, torch.tensor([1.0])))
    with pytest.raises(ValueError, match="task 1 has no negative example"):
        list(SquaredHinge().solve(coordinates, -signs, one, torch.tensor([1.0])))
    with pytest.raises(ValueError, match="C must be positive, got -1"):
        list(SquaredHinge().solve(coordinates, signs, zero, torch.tensor([-1.0])))
    with pytest.raises(ValueError, match="tolerance must be positive"):
        SquaredHinge(tolerance=0)
    broken = features.clone()
    broken[7, 3] = torch.nan
    with pytest.raises(ValueError, match="features of example 7 are not finite"):
        Coordinates.of(broken)
    with pytest.raises(ValueError, match=r"got \(0, 4\)"):
        Coordinates.of(torch.zeros(0, 4))


def test_few_directions_among_many_channels_have_coordinates() -> None:
    draw = np.random.default_rng(0)
    shown = draw.random((1, 192)) < 0.3  # the rest is 0 for every example
    apart = (np.maximum(draw.normal(size=(5, 192)), 0) * shown).astype(np.float32)
    examples = torch.from_numpy(np.tile(apart, (60, 1)))
    found = Coordinates.of(examples)
    torch.testing.assert_close(found.rows @ found.axes.T, with_bias(examples), atol=1e-4, rtol=1e-4)


def test_what_is_not_solved_in_time_is_nan_beside_what_is() -> None:
    features, labels = rectified(60, 20)
    coordinates, signs = Coordinates.of(features), signs_of(labels, 0)
    tasks, costs = torch.zeros(2, dtype=torch.int64), torch.tensor([100.0, 1e-7])
    w, scores = together(
        list(SquaredHinge(iterations=20).solve(coordinates, signs, tasks, costs)), coordinates, 2
    )
    assert bool(w[:, 0].isnan().all())
    assert bool(scores[:, 0].isnan().all())
    alone, _ = together(list(SquaredHinge().solve(coordinates, signs, tasks[:1], costs[1:])), coordinates, 1)
    torch.testing.assert_close(w[:, 1], alone[:, 0])


@pytest.mark.parametrize("kept", [60, 3000, 24000])
@pytest.mark.parametrize("cost", [1e-7, 1e-3, 0.1, 100.0])
def test_no_weight_is_a_solution_that_is_found(kept: int, cost: float) -> None:
    # Positives weigh twice and are half as many, and nothing varies: what pulls at w cancels.
    signs, task = torch.full((kept, 1), -1, dtype=torch.int8), torch.zeros(1, dtype=torch.int64)
    signs[: kept // 3] = 1
    for width in (1, 7):
        coordinates = Coordinates.of(torch.full((kept, width), 0.7) / (0.7 * width**0.5 + 1e-5))
        solved = SquaredHinge().solve(coordinates, signs, task, torch.tensor([cost]))
        for found in together(list(solved), coordinates, 1):
            assert float(found.abs().max()) < 1e-4
