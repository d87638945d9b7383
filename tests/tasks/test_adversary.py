"""Adversaries: both sides' losses and gradients against passes of their own, and what is looked at."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.tasks.adversary import Discriminator, play


def judge(beside: int = 3) -> Discriminator:
    torch.manual_seed(0)
    found = Discriminator(2, 16, beside)
    nn.init.normal_(found.out.weight, std=0.1)  # a judge that tells something
    return found


def sides(count: int = 5, beside: int = 3) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [
        (torch.randn(count, 2, 20, 20, generator=draw), torch.randn(count, beside, generator=draw))
        for _ in range(2)
    ]


def wrong(odds: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(odds, torch.full_like(odds, label))


def test_one_backward_pass_gives_each_side_the_gradient_of_its_own_loss() -> None:
    model, twin = judge(), judge()
    (real, code), (made, drawn) = sides()
    leaves = [x.clone().requires_grad_() for x in (real, code, made, drawn)]
    game = play(model, (leaves[0], leaves[1]), (leaves[2], leaves[3]))
    (game.told + 0.7 * game.real + 0.3 * game.made).backward()

    told = (wrong(twin(real, code), 1) + wrong(twin(made, drawn), 0)) / 2
    own = torch.autograd.grad(told, list(twin.parameters()))
    torch.testing.assert_close(game.told, told)
    for (name, parameter), expected in zip(model.named_parameters(), own, strict=True):
        torch.testing.assert_close(parameter.grad, expected, msg=name)

    again = [x.clone().requires_grad_() for x in (real, code, made, drawn)]
    taken, fooled = wrong(twin(*again[:2]), 0), wrong(twin(*again[2:]), 1)
    torch.testing.assert_close(torch.stack([game.real, game.made]), torch.stack([taken, fooled]))
    for leaf, expected in zip(leaves, torch.autograd.grad(0.7 * taken + 0.3 * fooled, again), strict=True):
        torch.testing.assert_close(leaf.grad, expected)
        assert bool((expected != 0).any())


def test_averages_of_batchnorm_move_once_for_each_side() -> None:
    model, twin = judge(), judge()
    real, made = sides()
    play(model, real, made)
    twin(*real), twin(*made)
    for (name, one), two in zip(model.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0, msg=name)
    before = copy.deepcopy(model.eval().state_dict())
    play(model, real, made)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@torch.no_grad()
def test_sides_are_not_normalised_together() -> None:
    model = judge()
    real, made = sides()
    far = (made[0] * 30 + 5, made[1])
    torch.testing.assert_close(play(model, real, made).real, play(model, real, far).real)


@torch.no_grad()
def test_maps_and_vectors_are_told_together_at_any_size() -> None:
    model = judge().eval()
    (maps, vectors), _ = sides()
    odds = model(maps, vectors)
    assert odds.shape == (5,)
    assert not torch.equal(odds, model(maps, vectors.roll(1, 0)))
    assert not torch.equal(odds, model(maps.roll(1, 0), vectors))
    alone = judge(0).eval()
    for size in (1, 16, 65):
        assert alone(torch.randn(2, 2, size, size)).shape == (2,)


@torch.no_grad()
def test_nothing_is_told_at_first() -> None:
    torch.manual_seed(0)
    game = play(Discriminator(2, 64, 3), *sides())
    for loss in game:
        assert float(loss) == pytest.approx(math.log(2), rel=0.02)
