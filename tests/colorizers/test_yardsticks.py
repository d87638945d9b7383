"""What every system is read against: no colour, one colour, any colours, the image's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toy
from skimage.color import rgb2lab
from torch import Tensor

from pretext.color import lab_to_rgb, lightness, rgb_to_lab
from pretext.colorizers.contract import Hints
from pretext.colorizers.gray import Gray
from pretext.colorizers.ground_truth import GroundTruth
from pretext.colorizers.mean import Mean
from pretext.colorizers.random_colours import RandomColours
from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader


def loader(pixels: np.ndarray) -> EpochLoader:
    return EpochLoader(Split("train", pixels, "made"), 4, shuffle=False, drop_last=False)


def gray_and_colored() -> np.ndarray:
    """Ten images, two of them gray."""
    pixels, _ = toy.stripes(10, 0)
    pixels[[2, 5]] = 90
    return pixels


LIGHT = 100 * torch.rand(3, 1, 20, 30, generator=torch.Generator().manual_seed(0))


def test_gray_has_no_colour() -> None:
    assert torch.equal(Gray().colorize(LIGHT), torch.zeros(3, 2, 20, 30))


def test_the_mean_is_that_of_all_pixels_of_coloured_images() -> None:
    pixels = gray_and_colored()
    mean = Mean()
    mean.fit(loader(pixels), 0)
    colored = np.delete(pixels, [2, 5], axis=0)
    wanted = rgb2lab(colored)[..., 1:].reshape(-1, 2).mean(0)
    found = mean.colorize(LIGHT)
    assert found.shape == (3, 2, 20, 30)
    np.testing.assert_allclose(found.numpy(), np.broadcast_to(wanted[:, None, None], found.shape), atol=2e-3)


def places(found: Tensor, pixels: np.ndarray) -> list[int]:
    """Which images' colours they are."""
    own = rgb_to_lab(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)[:, 1:]
    away = (found[:, None] - own[None]).abs().flatten(2).amax(-1)
    assert float(away.min(1).values.max()) < 1e-3, "all colours of one training image, untouched"
    return away.argmin(1).tolist()


def test_random_colours_are_all_of_one_training_image_and_every_image_has_its_own() -> None:
    pixels = gray_and_colored()
    system = RandomColours()
    system.fit(loader(pixels), 0)
    light = 100 * torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found = places(system.colorize(light), pixels)
    assert torch.equal(system.colorize(light[7:9]), system.colorize(light)[7:9])
    counts = np.bincount(found, minlength=10)
    assert counts[[2, 5]].tolist() == [0, 0], "no gray image gives its colours"
    assert (np.delete(counts, [2, 5]) > 15).all(), "of 300 draws each of 8 has 37.5"
    system.fit(loader(pixels), 1)
    assert places(system.colorize(light), pixels) != found


def test_the_truth_is_the_image_itself_and_no_other() -> None:
    pixels = toy.batch(3).pixels
    light = lightness(pixels)
    truth = [Hints(references=(one,)) for one in pixels]
    coloured = lab_to_rgb(torch.cat([light, GroundTruth().colorize(light, truth)], 1))
    torch.testing.assert_close(coloured, pixels, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"GroundTruth, image 0 .* L differs by up to"):
        GroundTruth().colorize(light, truth[::-1])
    with pytest.raises(ValueError, match="image 0 of the batch of 3: needs the image itself"):
        GroundTruth().colorize(light)
    with pytest.raises(ValueError, match=r"it has \(16, 16\) pixels, the image \(32, 32\)"):
        GroundTruth().colorize(light, [Hints(references=(one[:, :16, :16],)) for one in pixels])


def test_what_was_not_fitted_or_has_no_colour_to_give_says_so() -> None:
    for system in (Mean(), RandomColours()):
        with pytest.raises(ValueError, match="fit to training images first"):
            system.colorize(LIGHT)
        with pytest.raises(ValueError, match="no training image has colour"):
            system.fit(loader(np.full((4, 8, 8, 3), 90, np.uint8)), 0)
    for kind in (Mean, RandomColours):
        with pytest.raises(ValueError, match="starts at 1, got 0"):
            kind(images=0)
