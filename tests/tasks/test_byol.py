"""BYOL and SimSiam: what predicts what, where gradients stop, and whom the teacher follows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import toy
from torch import Tensor

from pretext.task import Progress
from pretext.tasks.byol import Byol
from pretext.tasks.rotation import Rotation
from pretext.tasks.simsiam import SimSiam
from pretext.tasks.two_views import Pair

Task = Byol | SimSiam


def byol(**changes: Any) -> Byol:
    return Byol(toy.encoder("rgb"), **{"blur": (0.0, 0.0), "hidden": 16, "outputs": 24, **changes})


def simsiam(**changes: Any) -> SimSiam:
    return SimSiam(toy.encoder("rgb"), **{"blur": 0.0, "hidden": 16, "bottleneck": 8, **changes})


def pair(learner: Task, seed: int = 1) -> Pair:
    return learner.views(toy.batch(6), torch.Generator().manual_seed(seed))


def teachers(learner: Byol) -> list[torch.nn.Parameter]:
    return [*learner.teacher.parameters(), *learner.teacher_projector.parameters()]


def cosine(one: Tensor, two: Tensor) -> float:
    """Mean over rows, number by number."""
    total = 0.0
    for a, b in zip(one.double().tolist(), two.double().tolist(), strict=True):
        total += sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
    return total / len(one)


@torch.no_grad()
def test_byol_predicts_the_teachers_projection_of_the_other_view() -> None:
    learner = byol().eval()
    for value in teachers(learner):  # apart from the student
        value.mul_(0.9).add_(0.01)
    batch = pair(learner)
    said = [learner.predictor(learner.projector(learner.encoder.vector(view))) for view in batch.pixels]
    told = [learner.teacher_projector(learner.teacher.vector(view)) for view in batch.pixels]
    expected = 4 - 2 * cosine(said[0], told[1]) - 2 * cosine(said[1], told[0])
    assert float(learner.loss(batch).loss) == pytest.approx(expected, rel=1e-5)
    wrong = 4 - 2 * cosine(said[0], told[0]) - 2 * cosine(said[1], told[1])
    assert float(learner.loss(batch).loss) != pytest.approx(wrong, rel=1e-5)


@torch.no_grad()
def test_simsiam_predicts_the_other_views_projection() -> None:
    learner = simsiam().eval()
    batch = pair(learner)
    one, two = (learner.projector(learner.encoder.vector(view)) for view in batch.pixels)
    expected = -(cosine(learner.predictor(one), two) + cosine(learner.predictor(two), one)) / 2
    assert float(learner.loss(batch).loss) == pytest.approx(expected, rel=1e-5)


def test_no_gradient_passes_through_what_simsiam_predicts() -> None:
    """With a predictor that says the same of everything, only the targets depend on the encoder."""
    learner = simsiam()
    torch.nn.init.zeros_(learner.predictor[-1].weight)
    torch.nn.init.ones_(learner.predictor[-1].bias)
    learner.loss(pair(learner)).loss.backward()
    for name, value in learner.encoder.named_parameters():
        assert value.grad is not None
        assert not bool(value.grad.any()), name
    assert bool(learner.predictor[-1].bias.grad.any())


def test_nothing_trains_the_teacher_but_to_follow() -> None:
    learner = byol(momentum=0.75)
    own = {id(p) for group in learner.param_groups() for p in group["params"]}
    assert not any(id(p) in own for p in teachers(learner))
    learner.loss(pair(learner)).loss.backward()
    assert all(p.grad is None for p in teachers(learner))
    with torch.no_grad():
        for value in (*learner.encoder.parameters(), *learner.projector.parameters()):
            value.add_(1)
    before = [p.clone() for p in teachers(learner)]
    learner.after_step(Progress(0, 10, 0.0))
    for old, new in zip(before, teachers(learner), strict=True):
        torch.testing.assert_close(new, old + 0.25)


def test_byol_starts_from_another_tasks_encoder_with_both() -> None:
    learner, parent = byol(), Rotation(toy.encoder("rgb", seed=7))
    learner.initialise_from(parent)
    for network in (learner.encoder, learner.teacher):
        for name, value in network.state_dict().items():
            assert torch.equal(value, parent.encoder.state_dict()[name]), name


def test_simsiams_predictor_keeps_its_rate_and_all_is_decayed() -> None:
    rest, predictor = simsiam().param_groups()
    assert predictor["constant_lr"]
    assert "constant_lr" not in rest
    assert not {"weight_decay"} & (rest.keys() | predictor.keys())


def test_heads_are_those_of_the_papers() -> None:
    def kinds(head: torch.nn.Module) -> list[str]:
        return [type(each).__name__ for each in head.children()]

    assert kinds(byol().projector) == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [each.bias is None for each in (byol().projector[0], byol().projector[-1])] == [False, True]
    learner = simsiam(layers=3)
    inner = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds(learner.projector) == [*inner, *inner, "Linear", "BatchNorm1d"]
    assert learner.projector[-1].affine is False
    assert kinds(learner.predictor) == [*inner, "Linear"]
    assert [learner.predictor[0].out_features, learner.predictor[-1].out_features] == [8, 16]


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (byol, {"outputs": 0}, "Byol takes hidden and outputs from 1, got 16 and 0"),
        (byol, {"momentum": -0.1}, r"Byol.momentum is a share in \[0, 1\], got -0.1"),
        (simsiam, {"layers": 0}, "SimSiam takes hidden, bottleneck and layers from 1, got 16, 8, 0"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_byols_teacher_follows_at_one_momentum_where_the_last_is_the_first() -> None:
    learner = byol(momentum=0.75, last_momentum=0.75)
    with torch.no_grad():
        for value in [*learner.encoder.parameters(), *learner.projector.parameters()]:
            value.add_(1)
    before = [value.clone() for value in teachers(learner)]
    learner.after_step(Progress(7, 10, 1.0))
    for old, new in zip(before, teachers(learner), strict=True):
        torch.testing.assert_close(new, old + 0.25)
    with pytest.raises(ValueError, match=r"Byol.last_momentum is a share in \[0, 1\], got 1.5"):
        byol(last_momentum=1.5)
