"""BiGAN: the pairs that are told apart, whose gradient is whose, and what is made."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.data.loader import EpochLoader
from pretext.tasks.bigan import LARGEST, BiGan, Coded


def task(input: str = "rgb", **changes: Any) -> BiGan:
    learner = BiGan(toy.encoder(input), **{"codes": 6, "hidden": 32, **changes})
    nn.init.normal_(learner.discriminator.out.weight, std=0.1)  # one that tells something
    return learner


def prepared(folder: Path, input: str = "rgb", **changes: Any) -> BiGan:
    learner = task(input, **changes)
    learner.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), folder)
    return learner


def batch(learner: BiGan, size: int = 32) -> Coded:
    return learner.views(toy.batch(6, size=size), torch.Generator().manual_seed(1))


def odds(learner: BiGan, given: Coded) -> tuple[Tensor, Tensor]:
    """The discriminator's of what is real and of what is made, in the paper's words."""
    d, e, g = learner.discriminator, learner.head, learner.generator
    real = d(given.real, e(learner.encoder.vector(given.pixels)))
    return real, d(g(given.codes, given.real.shape[-1]), given.codes)


def labelled(found: tuple[Tensor, Tensor], real: float) -> Tensor:
    """Mean cross-entropy of both sides, of labels `real` and 1 − `real`."""
    pairs = zip(found, (real, 1 - real), strict=True)
    return sum(F.binary_cross_entropy(x.sigmoid(), torch.full_like(x, y)) for x, y in pairs) / 2


@pytest.mark.parametrize("input", ["rgb", "gray"])
def test_discriminator_generator_and_encoder_get_the_gradients_of_their_own_losses(
    input: str, tmp_path: Path
) -> None:
    learner = prepared(tmp_path, input)
    given = batch(learner)
    one, two = copy.deepcopy(learner), copy.deepcopy(learner)
    step = learner.loss(given)
    step.loss.backward()
    told, opposite = labelled(odds(one, given), 1), labelled(odds(two, given), 0)
    told.backward()
    opposite.backward()
    assert float(step.logs["discriminator"]) == pytest.approx(told.item(), rel=1e-5)
    assert float(step.logs["opposite"]) == pytest.approx(opposite.item(), rel=1e-5)
    assert step.loss.item() == pytest.approx((told + opposite).item(), rel=1e-5)
    of_discriminator, of_others = dict(one.named_parameters()), dict(two.named_parameters())
    for name, parameter in learner.named_parameters():
        expected = (of_discriminator if name.startswith("discriminator.") else of_others)[name].grad
        assert expected is not None
        assert float((parameter.grad - expected).norm()) < 1e-4 * float(expected.norm()), name


def test_either_side_wins_against_the_other_standing_still(tmp_path: Path) -> None:
    """No loss of a game falls: each player's does where the others do not move."""
    for ours, log in (("discriminator", "discriminator"), ("", "opposite")):
        learner = prepared(tmp_path, hidden=16)
        given = batch(learner)
        players = [
            p for name, p in learner.named_parameters() if name.startswith("discriminator.") == bool(ours)
        ]
        optimizer = torch.optim.Adam(players, lr=1e-2)
        found = []
        for _ in range(12):
            learner.zero_grad()
            step = learner.loss(given)
            step.loss.backward()
            optimizer.step()
            found.append(float(step.logs[log]))
        assert found[-1] < 0.5 * found[0], log


def test_what_is_made_has_the_range_of_training_images(tmp_path: Path) -> None:
    learner = prepared(tmp_path)
    seen = learner.encoder.input(torch.from_numpy(toy.split(24, 5).pixels).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(learner.low.view(3), seen.amin((0, 2, 3)))
    torch.testing.assert_close(learner.high.view(3), seen.amax((0, 2, 3)))
    given = learner.eval().views(
        toy.batch(24, 5), torch.Generator().manual_seed(1)
    )  # the same images, not moved
    torch.testing.assert_close(given.real.amin((0, 2, 3)), -torch.ones(3))
    torch.testing.assert_close(given.real.amax((0, 2, 3)), torch.ones(3))
    lab = prepared(tmp_path, "lab")
    assert bool(torch.isfinite(lab.loss(batch(lab)).loss))


def test_codes_are_uniform_and_drawn_by_the_generator() -> None:
    learner = task(codes=400)
    codes = batch(learner).codes
    assert torch.equal(codes, batch(learner).codes)
    assert -1 <= float(codes.min()) < -0.99 < 0.99 < float(codes.max()) <= 1
    assert float(codes.mean()) == pytest.approx(0, abs=0.05)
    assert float(codes.var()) == pytest.approx(1 / 3, abs=0.02)


@torch.no_grad()
def test_large_images_are_made_small_but_for_the_encoder() -> None:
    learner = task(padding=0).eval()
    given = batch(learner, size=2 * LARGEST)
    assert given.pixels.shape == (6, 3, 128, 128)
    assert given.real.shape == (6, 3, 64, 64)
    expected = learner.encoder.input(given.pixels).view(6, 3, 64, 2, 64, 2).mean((3, 5))
    torch.testing.assert_close(given.real, expected)
    assert learner.show(toy.batch(6, size=128))["made"].shape == (6, 3, 64, 64)
    assert batch(learner, size=36).real.shape[-1] == 36


@torch.no_grad()
def test_reconstruction_is_of_own_images_beside_that_of_others() -> None:
    learner = task()
    for weight in (learner.head.weight, learner.generator.out.weight):
        weight.mul_(30)  # codes and images that differ
    given = batch(learner)
    back = learner.generator(learner.head(learner.encoder.vector(given.pixels)), 32)
    own = sum(float((given.real[i] - back[i]).square().sum().sqrt()) for i in range(6))
    other = sum(float((given.real[i - 1] - back[i]).square().sum().sqrt()) for i in range(6))
    total, weight = learner.score(given)["reconstruction"]
    assert (float(total), float(weight)) == pytest.approx((own, other), rel=1e-5)
    assert own != pytest.approx(other, rel=5e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": 0}, "BiGan takes codes and hidden from 1, got 0 and 32"),
        ({"padding": -1}, "BiGan.padding is a number of pixels from 0, got -1"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)
