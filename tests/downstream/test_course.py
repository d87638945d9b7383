"""What the losses of a training say about its length, by hand and on a real descent."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from recipes import by_epochs

from downstream.course import Course
from downstream.heads.linear_grid import LinearGrid
from downstream.protocol import Runtime
from downstream.tuning.finetuning import finetune


def cosine(steps: int) -> list[float]:
    return [0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]


def test_losses_are_averaged_over_equal_parts_of_the_way() -> None:
    course = Course.of([8.0, 6.0, 5.0, 5.0, 4.0, 4.0, 3.0, 3.0], [1.0] * 8)
    assert course == Course(8, 8.0, (8.0, 6.0, 5.0, 5.0, 4.0, 4.0, 3.0, 3.0))
    assert course.late == pytest.approx((4.5 - 3) / (8 - 3))
    # A step of twice the rate is two eighths of the way; of its two, the one that its middle lies in.
    course = Course.of([9.0, 7.0, 1.0, 1.0, 1.0, 1.0, 1.0], [2.0, 1, 1, 1, 1, 1, 1])
    assert course.parts == (9.0, 9.0, 7.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert Course.of([2.0, 1.0], [1.0, 1.0]).parts == (2.0, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 1.0)
    with pytest.raises(ValueError, match="got 0 losses and 0 rates"):
        Course.of([], [])


def test_a_loss_that_falls_with_the_way_has_not_settled_however_flat_its_steps_are_at_the_end() -> None:
    rates = cosine(400)
    gone = np.cumsum(rates) / np.sum(rates)
    even = (3 - gone).tolist()
    assert even[300] - even[-1] < 0.03 * (even[0] - even[-1])  # by steps it looks settled
    assert Course.of(even, rates).late == pytest.approx(0.47, abs=0.02)
    settled = (1 + np.exp(-20 * gone)).tolist()
    assert Course.of(settled, rates).late < 0.01


def test_a_loss_that_hardly_changed_says_nothing_and_one_that_rose_is_late() -> None:
    assert Course.of([1.0, 0.999, 0.998, 0.997], [1.0] * 4).late == 0
    assert Course.of([1.0, 9.0, 9.0, 5.0], [1.0] * 4).late == 1


def problem(examples: int = 512) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, examples)
    features = np.random.default_rng(1).normal(size=(4, 8))[labels] + generator.normal(size=(examples, 8))
    return features.astype(np.float32), labels


def test_every_setting_of_a_grid_has_its_own_course() -> None:
    features, labels = problem()
    for targets in (labels, np.eye(4, dtype=np.uint8)[labels]):
        grid = LinearGrid(lrs=(1e-5, 0.1), weight_decays=(0.0,), epochs=40, batch_size=128)
        heads = grid.fit(features, targets, 4, torch.device("cpu"), seed=0)
        slow, good = (heads.select(p).course for p in range(2))
        assert slow is not None
        assert good is not None
        assert slow.steps == good.steps == 160
        assert good.late < 0.1
        # The first loss is that of the classes' shares; the last that of the head.
        shares = np.bincount(labels) / len(labels)
        entropy = -(shares * np.log(shares)).sum()
        if targets.ndim == 2:
            entropy -= ((1 - shares) * np.log(1 - shares)).sum()
        assert good.first == pytest.approx(entropy, rel=0.03)
        logits = torch.from_numpy(heads.select(1).logits(features))
        wanted = torch.from_numpy(targets)
        loss = (
            torch.nn.functional.cross_entropy(logits, wanted)
            if wanted.ndim == 1
            else torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted.float()) * 4
        )
        assert good.parts[-1] == pytest.approx(float(loss), rel=0.05)
    even = LinearGrid(lrs=(1e-3,), weight_decays=(0.0,), epochs=40, batch_size=128)
    course = even.fit(features, labels, 4, torch.device("cpu"), seed=0).select(0).course
    assert course is not None
    assert course.late > 0.3  # far too slow a rate


def test_fine_tuning_gives_the_course_of_its_schedule() -> None:
    features, labels = (torch.from_numpy(values) for values in problem(64))
    model, seen = torch.nn.Linear(8, 4), []

    def loss(index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        value = torch.nn.functional.cross_entropy(model(features[index]), labels[index])
        seen.append(float(value.detach()))
        return value

    recipe = by_epochs(epochs=10, batch_size=16, lr=0.1)
    course = finetune(model, loss, 64, recipe, Runtime())
    assert course == Course.of(seen, [recipe.factor(step, 40) for step in range(40)])
    assert course.late < 0.15
