"""Budgets in iterations: what is drawn, how the rate falls, and that older recipes keep their names."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from recipes import by_epochs, polynomial, stepped
from torch import Tensor, nn

from downstream.course import Course
from downstream.detection.faster_rcnn import FasterRcnn
from downstream.judge.catalogue import facts
from downstream.protocol import Runtime
from downstream.tuning.finetuning import Optimiser, Tuning, finetune
from downstream.tuning.iterations import PolynomialRecipe, SteppedRecipe


def train(recipe: Tuning, examples: int = 5) -> tuple[list[float], list[Tensor], Course]:
    """Weights before each step of a gradient of −1, what was drawn, and how it went."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    path: list[float] = []
    order: list[Tensor] = []

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        path.append(model.weight.item())
        order.append(index)
        return -model.weight.sum()

    course = finetune(model, loss, examples, recipe, Runtime())
    return [*path, model.weight.item()], order, course


def sgd_rates(recipe: Tuning) -> list[float]:
    """Learning rate of every step, read off weights that SGD with momentum .9 moved by a gradient of −1."""
    path, _, _ = train(recipe)
    moves = [b - a for a, b in pairwise(path)]
    velocity, rates = 0.0, []
    for move in moves:
        velocity = 0.9 * velocity + 1
        rates.append(move / velocity)
    return rates


def test_rate_warms_up_and_drops_at_its_milestones() -> None:
    recipe = SteppedRecipe(
        iterations=9, milestones=(5, 7), lr=0.5, optimiser=Optimiser.SGD, clip=None, weight_decay=0.0,
        warmup_iterations=2, warmup_factor=0.1, batch_size=2,
    )  # fmt: skip
    expected = [0.05, 0.275, 0.5, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005]
    assert sgd_rates(recipe) == pytest.approx(expected, rel=1e-3)


def test_published_schedule_of_fcn32s() -> None:
    recipe = stepped(iterations=150_000, milestones=(50_000, 100_000), lr=1e-4)
    steps = (0, 49_999, 50_000, 99_999, 100_000, 149_999)
    rates = [recipe.lr * recipe.factor(step, 150_000) for step in steps]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6])


def test_polynomial_falls_by_its_power() -> None:
    recipe = PolynomialRecipe(
        iterations=4, lr=0.5, optimiser=Optimiser.SGD, clip=None, weight_decay=0.0, batch_size=2
    )
    assert sgd_rates(recipe) == pytest.approx([0.5 * (1 - i / 4) ** 0.9 for i in range(4)], rel=1e-3)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 8])
def test_batches_are_whole_and_all_are_seen_before_one_comes_again(batch_size: int) -> None:
    recipe = stepped(iterations=10, batch_size=batch_size)
    _, order, course = train(recipe)
    assert [len(index) for index in order] == [batch_size] * 10
    drawn = torch.cat(order)
    passes = [sorted(drawn[i : i + 5].tolist()) for i in range(0, len(drawn) - 4, 5)]
    assert passes == [list(range(5))] * len(passes)
    assert batch_size > 2 or drawn[:5].tolist() != drawn[5:10].tolist()
    assert course.steps == 10


def test_progress_and_cost_count_iterations() -> None:
    calls: list[tuple[int, int]] = []
    model = nn.Linear(1, 1)
    runtime = Runtime(progress=lambda what, done, total: calls.append((done, total)))
    finetune(model, lambda index, _: model.weight.sum(), 3, stepped(iterations=4), runtime)
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert stepped(iterations=24_000).length == "24000 steps"
    assert stepped(iterations=1).length == "1 step"
    assert facts(FasterRcnn(by_epochs(epochs=3))).cost == "3 epochs"


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"SteppedRecipe: milestones=\(3, 9\) is out of range"):
        stepped(iterations=9, milestones=(3, 9))
    with pytest.raises(ValueError, match=r"milestones=\(5, 3\) is out of range"):
        stepped(iterations=9, milestones=(5, 3))
    with pytest.raises(ValueError, match="iterations=0 is out of range"):
        polynomial(iterations=0)
    with pytest.raises(ValueError, match="warmup_iterations=10 is out of range"):
        stepped(iterations=9, warmup_iterations=10)
    with pytest.raises(ValueError, match="power=0 is out of range"):
        polynomial(iterations=9, power=0)
