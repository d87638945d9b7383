"""Inpainting: what is hidden, what is asked, and what weighs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch.nn import functional as F

from pretext.data.loader import EpochLoader
from pretext.identity import identity
from pretext.tasks.inpainting import Holed, Inpainting


def task(folder: Path, **changes: Any) -> Inpainting:
    small = {"bottleneck": 16, "hidden": 16, "rim": 1 / 16, "rim_weight": 10.0}
    learner = Inpainting(toy.encoder("rgb"), **{**small, **changes})
    learner.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), folder)
    return learner


def batch(learner: Inpainting) -> Holed:
    return learner.views(toy.batch(4), torch.Generator().manual_seed(1))


def test_the_middle_is_hidden_but_for_its_rim(tmp_path: Path) -> None:
    learner = task(tmp_path).eval()
    found, clean = batch(learner), learner.encoder.input(toy.batch(4).pixels)
    assert torch.equal(found.wanted, clean[:, :, 8:24, 8:24])
    hidden = torch.zeros(32, 32, dtype=torch.bool)
    hidden[10:22, 10:22] = True  # a rim of 2 of 32 pixels is seen
    assert torch.equal(found.seen[:, :, ~hidden], clean[:, :, ~hidden])
    filled = found.seen[:, :, hidden]
    torch.testing.assert_close(filled, learner.mean.view(1, 3, 1).expand_as(filled))


@torch.no_grad()
def test_what_is_said_does_not_depend_on_what_is_hidden(tmp_path: Path) -> None:
    learner = task(tmp_path).eval()
    images = toy.batch(4)
    other = images.pixels.clone()
    other[:, :, 10:22, 10:22] = 0.3
    one, two = (
        learner._predicted(learner.views(images._replace(pixels=p), drawn()).seen)
        for p in (images.pixels, other)
    )
    assert torch.equal(one, two)
    other[:, :, 4, 4] = 1.0
    assert not torch.equal(
        one, learner._predicted(learner.views(images._replace(pixels=other), drawn()).seen)
    )


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@torch.no_grad()
def test_the_error_is_averaged_by_weight(tmp_path: Path) -> None:
    learner = task(tmp_path).eval()
    found = batch(learner)
    error = (learner._predicted(found.seen) - (found.wanted - learner.mean) / learner.std).square()
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[2:14, 2:14] = True
    total = error[:, :, inside].sum() + 10 * error[:, :, ~inside].sum()
    count = 4 * 3 * (144 + 10 * 112)
    assert float(learner.loss(found).loss) == pytest.approx(float(total) / count, rel=1e-5)
    plain = task(tmp_path, rim=0.0)
    assert float(plain._weights(error).std()) == 0


def test_without_an_adversary_nothing_of_it_is_there(tmp_path: Path) -> None:
    plain, with_one = task(tmp_path), task(tmp_path, adversarial=0.001)
    own = plain.state_dict()
    assert own.keys() == {k for k in with_one.state_dict() if not k.startswith("discriminator.")}
    assert all(torch.equal(value, with_one.state_dict()[key]) for key, value in own.items())
    found = batch(plain)
    one, two = plain.loss(found), with_one.loss(found)
    assert one.logs.keys() == plain.chance(found).keys() == {"loss"}
    assert torch.equal(one.loss, one.logs["loss"])
    assert torch.equal(one.loss, two.logs["loss"])
    named = [identity(Inpainting, learner.arguments) for learner in (plain, with_one)]
    assert [n["options"].get("adversarial") for n in named] == [None, 0.001]


def test_the_adversary_is_trained_beside_and_weighs_its_share(tmp_path: Path) -> None:
    learner = task(tmp_path, adversarial=0.25)
    torch.nn.init.normal_(learner.discriminator.out.weight, std=0.1)
    found, twin = batch(learner), copy.deepcopy(learner)
    step = learner.loss(found)
    step.loss.backward()

    wanted, made = (found.wanted - twin.mean) / twin.std, twin._predicted(found.seen)
    error = (made - wanted).square()
    ones = torch.ones(4)
    fooled = F.binary_cross_entropy_with_logits(twin.discriminator(made), ones)
    ours = 0.75 * (error * twin._weights(error)).mean() + 0.25 * fooled
    rest = [p for name, p in twin.named_parameters() if not name.startswith("discriminator.")]
    expected = torch.autograd.grad(ours, rest)
    told = [twin.discriminator(x.detach()) for x in (wanted, made)]
    told = sum(
        F.binary_cross_entropy_with_logits(x, y) / 2 for x, y in zip(told, (ones, 0 * ones), strict=True)
    )
    expected += torch.autograd.grad(told, list(twin.discriminator.parameters()))
    torch.testing.assert_close(step.loss, ours + told)
    torch.testing.assert_close(step.logs["opposite"], fooled.detach())
    torch.testing.assert_close(step.logs["discriminator"], told.detach())
    for (name, parameter), gradient in zip(learner.named_parameters(), expected, strict=True):
        assert float((parameter.grad - gradient).norm()) < 1e-4 * float(gradient.norm()), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rim": 0.25}, r"rim in \[0, 0.25\) and a positive rim_weight, got 0.25 and 10.0"),
        ({"bottleneck": 0}, "Inpainting takes bottleneck and hidden from 1, got 0 and 16"),
        ({"adversarial": 1.0}, r"Inpainting.adversarial is a share in \[0, 1\), got 1.0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        task(tmp_path, **changes)
