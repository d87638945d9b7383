"""Counting: what is halved and quartered, and the two terms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import toy
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from pretext.tasks.counting import Counting, Parts


def task(**changes: Any) -> Counting:
    return Counting(toy.encoder("rgb"), **{"counts": 6, "hidden": 8, "gray": 0.0, **changes})


def batch(learner: Counting, seed: int = 1) -> Parts:
    return learner.views(toy.batch(5), torch.Generator().manual_seed(seed))


def test_four_quarters_are_the_image_and_the_whole_is_it_at_half_its_size() -> None:
    learner, modes = task(), set()
    for seed in range(12):
        found = batch(learner, seed)
        top, bottom = (torch.cat(list(found.quarters[i : i + 2]), dim=3) for i in (0, 2))
        pixels = torch.cat([top, bottom], dim=2)
        assert pixels.shape == (5, 3, 32, 32)
        for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
            expected = resize(pixels, [16, 16], mode, antialias=True).clamp(0, 1)
            if torch.allclose(found.whole, expected, atol=1e-4):
                modes.add(mode)
    assert len(modes) == 2, "both filters are drawn"
    plain = learner.eval().views(toy.batch(5), torch.Generator().manual_seed(1))
    assert torch.equal(plain.quarters[0], toy.batch(5).pixels[:, :, :16, :16])


@torch.no_grad()
def test_the_loss_is_of_sums_of_counts_and_of_another_image() -> None:
    learner = task(margin=3.0).eval()
    torch.nn.init.normal_(learner.head[3].weight)
    found = batch(learner)

    def counts(pixels: Tensor) -> Tensor:
        return learner.head(learner.encoder.vector(pixels))

    whole, total = counts(found.whole), sum(counts(quarter) for quarter in found.quarters)
    assert bool((whole >= 0).all())
    same = other = 0.0
    for i in range(5):
        same += float((whole[i] - total[i]).square().sum()) / 5
        other += max(0.0, 3 - float((whole[i - 1] - total[i]).square().sum())) / 5
    step = learner.loss(found)
    assert float(step.logs["same"]) == pytest.approx(same, rel=1e-4)
    assert float(step.logs["other"]) == pytest.approx(other, rel=1e-4, abs=1e-6)
    assert float(step.loss) == pytest.approx(same + other, rel=1e-4)


def test_counting_nothing_costs_the_margin() -> None:
    learner = task()
    torch.nn.init.zeros_(learner.head[3].weight)
    assert learner.loss(batch(learner)).loss.item() == learner.chance(batch(learner))["loss"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": 0}, "counts and hidden from 1 and a positive margin, got 0, 8, 10.0"),
        ({"margin": 0.0}, "got 6, 8, 0.0"),
        ({"gray": 2.0}, r"Counting.gray is a probability in \[0, 1\], got 2.0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)
