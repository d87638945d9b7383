"""Split-brain: what each half sees and says, and that nothing crosses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import toy
from skimage.color import rgb2lab
from torch.nn import functional as F

from pretext import inputs
from pretext.backbones.side_by_side import SideBySide
from pretext.color import bins
from pretext.encoder import Encoder
from pretext.tasks.split_brain import Halves, SplitBrain


def encoder(sees: str = "lab", first: int = 1) -> Encoder:
    torch.manual_seed(0)
    network = SideBySide(3, "pretext.backbones.small.SmallNet", first, {"widths": [8, 8, 8, 8, 8]})
    return Encoder(inputs.build(sees), network)


def task(**changes: Any) -> SplitBrain:
    return SplitBrain(encoder(), **{"hidden": 8, **changes})


def batch(learner: SplitBrain) -> Halves:
    return learner.views(toy.batch(4), torch.Generator().manual_seed(1))


def test_targets_are_the_bins_of_every_fourth_pixel() -> None:
    found = batch(task().eval())
    assert found.colors.shape == found.lightness.shape == (4, 8, 8)
    lab = rgb2lab(found.pixels[:, :, ::4, ::4].permute(0, 2, 3, 1).double().numpy())  # (B, h, w, 3)
    centres = bins().double().numpy()
    nearest = ((lab[..., None, 1:] - centres) ** 2).sum(-1).argmin(-1)
    assert (found.colors.numpy() == nearest).mean() > 0.99
    expected = np.minimum(lab[..., 0] // 2, 49)
    assert (found.lightness.numpy() == expected).mean() > 0.99


def test_each_half_sees_its_own_channels_and_says_the_others() -> None:
    """The gradient of what is said of colours reaches the network of L alone, and the other way round."""
    for log, own, other in (("colors", 0, 1), ("lightness", 1, 0)):
        learner = task()
        given = batch(learner)
        maps = learner._maps(given.pixels)
        heads = (learner.color_head, learner.lightness_head)
        target = given.colors if log == "colors" else given.lightness
        F.cross_entropy(heads[own](maps[own], (8, 8)), target).backward()
        assert all(p.grad is None for p in heads[other].parameters())
        network: Any = learner.encoder.backbone
        for block in network.blocks.values():
            halves = list(block.children())
            assert any(bool(p.grad.any()) for p in halves[own].parameters())
            assert not any(p.grad is not None and bool(p.grad.any()) for p in halves[other].parameters())


@torch.no_grad()
def test_what_is_said_of_colours_does_not_depend_on_them() -> None:
    learner = task().eval()
    pixels = toy.batch(4).pixels
    turned = pixels.flip(1)  # other colours of another lightness
    assert not torch.allclose(learner.paint(pixels), learner.paint(turned), atol=1e-3)
    light = learner.paint(pixels)
    torch.testing.assert_close(learner.colorize(lightness_of(pixels)), light, rtol=0, atol=0.05)


def lightness_of(pixels: torch.Tensor) -> torch.Tensor:
    from pretext.color import lightness

    return lightness(pixels)


def test_the_loss_is_the_mean_of_both_and_starts_at_chance() -> None:
    learner = task()
    given = batch(learner)
    step = learner.loss(given)
    torch.testing.assert_close(step.logs["loss"], (step.logs["colors"] + step.logs["lightness"]) / 2)
    assert learner.chance(given) == {
        "loss": pytest.approx((5.746 + 3.912) / 2, abs=1e-3),
        "colors": pytest.approx(math.log(313)),
        "lightness": pytest.approx(math.log(50)),
    }


def test_other_networks_and_inputs_are_refused() -> None:
    with pytest.raises(TypeError, match="two networks side by side, got SmallNet"):
        SplitBrain(toy.encoder("lab"))
    with pytest.raises(ValueError, match="input 'lab' and first=1, got 'rgb' and first=1"):
        SplitBrain(encoder("rgb"))
    with pytest.raises(ValueError, match="got 'lab' and first=2"):
        SplitBrain(encoder(first=2))
    with pytest.raises(ValueError, match="lightness_bins from 2"):
        task(lightness_bins=1)
