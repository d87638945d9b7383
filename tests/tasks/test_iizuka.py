"""Iizuka: what is regressed, and what the global features add to the local ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toy
from skimage import color
from torch import nn

from pretext.color import lightness
from pretext.task import Images
from pretext.tasks import coloring
from pretext.tasks.iizuka import FusionHead, Iizuka, Scaled


def task(**changes: Any) -> Iizuka:
    return Iizuka(toy.encoder(), **{"hidden": 8, **changes})


def batch(learner: Iizuka, images: Images | None = None) -> Scaled:
    return learner.views(images or toy.batch(4), torch.Generator().manual_seed(1))


def shaken(learner: Iizuka) -> Iizuka:
    torch.manual_seed(2)
    nn.init.normal_(learner.head.out.weight)
    return learner.eval()


def test_colors_of_every_second_pixel_are_asked_for() -> None:
    found = batch(task())
    lab = color.rgb2lab(found.pixels.double().numpy(), channel_axis=1)
    np.testing.assert_allclose((2 * found.ab - 1) * 100, lab[:, 1:, ::2, ::2], atol=0.05)
    blue = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)  # b is −107.9
    assert float(batch(task(), Images(blue, torch.arange(1), None)).ab.min()) == 0


@torch.no_grad()
def test_the_loss_is_the_squared_error_of_images_with_colour() -> None:
    learner = shaken(task())
    gray = coloring.gray(lightness(toy.batch(1, seed=9).pixels))
    found = batch(learner, Images(torch.cat([toy.batch(3).pixels, gray]), torch.arange(4), None))
    step = learner.loss(found)
    guess = 1 / (1 + np.exp(-learner.head(learner.encoder(found.pixels).maps["conv5"], (16, 16)).numpy()))
    assert float(step.loss) == pytest.approx(float(np.square(guess - found.ab.numpy())[:3].mean()), rel=1e-4)
    assert step.weight is not None
    assert int(step.weight) == 3


@torch.no_grad()
def test_starts_at_gray() -> None:
    learner = task()
    found = batch(learner)
    assert float(learner.loss(found).loss) == pytest.approx(learner.chance(found)["loss"], rel=1e-2)
    lab = color.rgb2lab(found.pixels.double().numpy(), channel_axis=1)[:, 1:, ::2, ::2]
    assert learner.chance(found)["loss"] == pytest.approx(float(np.square(lab / 200).mean()), rel=1e-3)


@torch.no_grad()
def test_a_color_is_decided_by_what_is_far_away_through_the_global_features_alone() -> None:
    learner = shaken(task())
    torch.manual_seed(3)
    one = torch.rand(1, 3, 192, 192)
    other = one.clone()
    other[..., 160:] = 1 - other[..., 160:]
    near = [learner.paint(pixels)[..., :32] for pixels in (one, other)]
    assert float((near[0] - near[1]).abs().max()) > 1e-2
    nn.init.zeros_(learner.head.summary[-2].weight)  # BatchNorm's: the same summary of every image
    near = [learner.paint(pixels)[..., :32] for pixels in (one, other)]
    torch.testing.assert_close(near[0], near[1], atol=1e-4, rtol=0)


@torch.no_grad()
def test_both_features_stand_at_every_place_before_they_are_fused() -> None:
    head = FusionHead(5, 8, 2).eval()
    given: list[torch.Tensor] = []
    head.fuse.register_forward_hook(lambda module, inputs, out: given.append(inputs[0]))
    x = torch.randn(2, 5, 4, 6)
    assert head(x, (16, 23)).shape == (2, 2, 16, 23)
    whole, local = given[0].split(8, dim=1)
    torch.testing.assert_close(local, head.local(x))
    assert torch.equal(whole, whole[:, :, :1, :1].expand_as(whole))
    assert not torch.equal(whole[0], whole[1])


@pytest.mark.parametrize(("hidden", "doublings"), [(256, 2), (64, 3), (64, 0)])
def test_widths_are_halved_with_every_doubling(hidden: int, doublings: int) -> None:
    head = FusionHead(512, hidden, doublings)
    found = [m.out_channels for m in head.steps.modules() if isinstance(m, nn.Conv2d)]
    # The paper's decoder: 128, twice as large, 64, 64, twice as large, 32, 2.
    assert (
        found
        == {(256, 2): [128, 64, 64, 32], (64, 3): [32, 16, 16, 8, 8, 8], (64, 0): [32]}[hidden, doublings]
    )
    widths = [m.out_features for m in head.summary if isinstance(m, nn.Linear)]
    assert widths == [4 * hidden, 2 * hidden, hidden]


@torch.no_grad()
def test_colors_are_read_from_the_ends_of_the_sigmoid() -> None:
    learner = task().eval()
    nn.init.zeros_(learner.head.out.weight)
    learner.head.out.bias.copy_(torch.tensor([0.6, 0.3]).logit())
    ab = learner.colorize(torch.full((1, 1, 9, 14), 40.0))
    torch.testing.assert_close(ab, torch.tensor([20.0, -40.0]).view(1, 2, 1, 1).expand(1, 2, 9, 14))


def test_what_does_not_fit_is_refused() -> None:
    for changes, message in (
        ({"hidden": 1}, "hidden from 2 and target_stride from 1, got 1 and 2"),
        ({"target_stride": 3}, "stage 'conv5' has stride 8; it must be target_stride=3 times"),
    ):
        with pytest.raises(ValueError, match=message):
            task(**changes)
    with pytest.raises(ValueError, match="'lab' shows"):
        Iizuka(toy.encoder("lab"))
