"""LEARCH: planted linear colours on unseen images, matches that leave an image itself out, histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from loaded import loader
from scipy.ndimage import gaussian_filter
from torch import Tensor

from pretext.color import rgb_to_lab
from pretext.colorizers import colour_histogram
from pretext.colorizers.contract import Hints
from pretext.colorizers.deshpande_learch import (
    REGRESSED,
    SPLIT,
    DeshpandeLearch,
    regression_features,
    split_features,
)
from pretext.colorizers.gray_ratio import ratios, with_gray

SMALL: dict[str, Any] = {"histogram_given": False, "images": 16, "samples": 1600, "rounds": 8, "leaf": 20}


def picture(seed: int, side: int = 32) -> Tensor:
    """RGB (3, H, W) whose two colours are linear in gray: bluish where dark, reddish where light."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 2)
    gray = torch.from_numpy(0.5 + 0.12 * (noise / noise.std()).clip(-2, 2))[None, None]
    c = torch.cat([0.5 - gray, 1.2 * (gray - 0.4)], 1)
    return with_gray(c, gray)[0].clamp(0, 1)


@pytest.fixture(scope="module")
def taught() -> DeshpandeLearch:
    system = DeshpandeLearch(**SMALL, corrected=False)
    system.fit(loader([picture(seed) for seed in range(16)]), seed=0)
    return system


def errors(system: DeshpandeLearch, hints: bool = False) -> tuple[float, float]:
    """Mean distance from the truth of unseen images, and that of gray."""
    rgb = torch.stack([picture(seed) for seed in (100, 101)])
    lab = rgb_to_lab(rgb)
    ab = system.colorize(lab[:, :1], [Hints(references=(one,)) for one in rgb] if hints else ())
    made, gray = (float(off.square().sum(1).sqrt().mean()) for off in (ab - lab[:, 1:], lab[:, 1:]))
    return made, gray


def test_linear_colours_are_found_on_unseen_images(taught: DeshpandeLearch) -> None:
    found, gray = errors(taught)
    assert found < 0.3 * gray


def test_without_the_linear_part_they_are_not(taught: DeshpandeLearch) -> None:
    """What the test above guards: matches and trees alone stay far from linear colours."""
    assert taught.learned is not None
    crippled = DeshpandeLearch(**SMALL, corrected=False)
    crippled.__dict__.update(taught.__dict__)
    crippled.learned = taught.learned._replace(linear=0 * taught.learned.linear)
    assert errors(crippled)[0] > 2 * errors(taught)[0]


def test_features_are_as_many_as_in_the_release_and_in_place() -> None:
    gray = np.random.default_rng(0).uniform(size=(14, 17))
    regressed = regression_features(gray)
    assert regressed.shape == (REGRESSED, 14 * 17) == (217, 238)
    np.testing.assert_array_equal(regressed[12], gray.ravel())  # the middle of 5×5
    np.testing.assert_array_equal(regressed[13].reshape(14, 17)[:, :-1], gray[:, 1:])
    np.testing.assert_allclose(regressed[169:], np.hypot(regressed[73:121], regressed[121:169]))
    mean, spread = np.random.default_rng(1).normal(size=(2, 2, 14, 17))
    split = split_features(gray, mean, spread)
    assert split.shape == (SPLIT, 238) == (15, 238)
    np.testing.assert_array_equal(split[9:11], mean.reshape(2, -1))
    assert split[13:, 0].tolist() == [0, 0]
    assert split[13:, 16].tolist() == [1, 0]


def test_an_image_is_no_match_of_itself() -> None:
    """Nine gray-looking twins in one colour, one image in another: its matches have theirs, not its own."""
    system = DeshpandeLearch(False, images=12, matches=3, samples=1000, leaf=20, rounds=1)
    pictures = [picture(seed) for seed in range(12)]
    system.fit(loader(pictures), seed=0)
    light = rgb_to_lab(pictures[4][None].double())[0, 0].numpy()
    own = ratios((pictures[4][None] * 255).round() / 255)[0].numpy()
    fields = np.stack([ratios((one[None] * 255).round() / 255)[0].numpy() for one in pictures])
    order = [
        place for place in system._references.order(torch.from_numpy(light)[None]).tolist() if place != 4
    ]
    mean, spread = system._of_matches(light, skipped=4)
    np.testing.assert_allclose(mean, fields[order[:3]].mean(0), atol=1e-6)
    np.testing.assert_allclose(spread, fields[order[:3]].std(0), atol=1e-6)
    with_itself, _ = system._of_matches(light)
    np.testing.assert_allclose(with_itself, (own + fields[order[:2]].sum(0)) / 3, atol=1e-6)


def test_the_target_is_the_mean_of_training_or_what_is_given() -> None:
    pictures = [picture(seed) for seed in range(12)]
    system = DeshpandeLearch(**{**SMALL, "images": 12, "histogram_given": True})
    system.fit(loader(pictures), seed=0)
    assert system.learned is not None
    mean = torch.stack([colour_histogram.histogram(ratios(one[None])[0]) for one in pictures]).mean(0)
    assert float((system.learned.histogram - mean).abs().sum()) < 0.2  # 8 bits
    light = rgb_to_lab(picture(50)[None])[:, :1]
    with pytest.raises(ValueError, match="image 0 of the batch of 1: needs 1 references"):
        system.colorize(light)
    green = with_gray(
        torch.tensor([-0.6, -0.6]).view(1, 2, 1, 1).expand(1, 2, 8, 8), torch.full((1, 1, 8, 8), 0.5)
    )[0]
    towards_green = system.colorize(light, [Hints(references=(green,))])
    towards_truth = system.colorize(light, [Hints(references=(picture(50),))])
    assert float(towards_green[:, 0].mean()) < float(towards_truth[:, 0].mean()) - 0.5


def test_the_same_seed_gives_the_same_bits() -> None:
    light = rgb_to_lab(picture(60)[None])[:, :1]
    found = []
    for _ in range(2):
        system = DeshpandeLearch(**SMALL)
        system.fit(loader([picture(seed) for seed in range(12)]), seed=1)
        found.append(system.colorize(light))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 9}, "more images than matches"),
        ({"samples": 100}, "two leaves"),
        ({"rows": 2}, r"rows in \[3, 40\]"),
        ({"side": 10}, "sides from 11"),
        ({"ridge": 0.0}, "DeshpandeLearch.ridge is a positive number, got 0.0"),
        ({"corrected": False, "histogram_given": True}, "needs corrected"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeshpandeLearch(**{"histogram_given": False, **change})


def test_what_cannot_be_coloured_or_learned_from_is_refused(taught: DeshpandeLearch) -> None:
    with pytest.raises(ValueError, match="image 0 of the batch of 1: sides must have 11"):
        taught.colorize(torch.zeros(1, 1, 10, 20))
    with pytest.raises(ValueError, match="fit to training images first"):
        DeshpandeLearch(False).colorize(torch.zeros(1, 1, 20, 20))
    with pytest.raises(ValueError, match="10 images with colour or more; 3"):
        DeshpandeLearch(False).fit(loader([picture(seed) for seed in range(3)]), seed=0)
