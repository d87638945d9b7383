"""Deep colorization: planted chroma of patch and class, contradictory scenes, and the choice among kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from loaded import loader
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import Tensor, nn

from pretext.color import lab_to_rgb, rgb_to_lab, rgb_to_yuv, yuv_to_rgb
from pretext.colorizers import texture_classes
from pretext.colorizers.cheng_deep import ChengDeep, Kind

SMALL: dict[str, Any] = {"samples": 150, "classes": 2, "kinds": 1, "rounds": 1, "radius": 4, "batch": 256}


def stripes(seed: int, lying: bool, side: int = 28) -> NDArray[np.float64]:
    """Gray stripes (H, W) of a phase and a brightness of their own, on a slope."""
    draw = np.random.default_rng(seed)
    wave = 0.06 * np.sin(2 * np.pi * np.arange(side) / 4 + draw.uniform(0, 6))[:, None] * np.ones(side)
    slope = draw.uniform(-0.12, 0.12) * np.linspace(-1, 1, side)
    gray = draw.uniform(0.42, 0.58) + (wave if lying else wave.T) + slope
    return np.asarray(gray)


def picture(
    gray: NDArray[np.float64], u: NDArray[np.float64] | float, v: NDArray[np.float64] | float
) -> Tensor:
    """RGB (3, H, W) of Y, U and V."""
    yuv = np.stack([gray, u + 0 * gray, v + 0 * gray])
    return yuv_to_rgb(torch.from_numpy(yuv)[None])[0]


def planted(seed: int) -> Tensor:
    """U is linear in the mean of 7×7 pixels, V says which way the stripes run."""
    lying = seed % 2 == 0
    gray = stripes(seed, lying)
    around = uniform_filter(gray, 7, mode="reflect")
    return picture(gray, 0.5 * (around - 0.5), 0.06 if lying else -0.06)


def uv_error(system: ChengDeep, rgb: Tensor) -> float:
    """PSNR in dB of U and V, for a peak of 1, of one image."""
    lab = rgb_to_lab(rgb[None].double())
    ab = system.colorize(lab[:, :1])
    found = lab_to_rgb(torch.cat([lab[:, :1], ab], 1))
    off = (rgb_to_yuv(found) - rgb_to_yuv(rgb[None].double()))[:, 1:]
    return -10 * float(off.square().mean().log10())


def test_chroma_of_patch_and_class_is_found_on_unseen_images() -> None:
    system = ChengDeep(**SMALL, steps=600)
    system.fit(loader([planted(seed) for seed in range(16)]), seed=0)
    assert min(uv_error(system, planted(seed)) for seed in (100, 101)) > 40


def scene(seed: int, warm: bool) -> Tensor:
    """On the left stripes lie in warm scenes and stand in cold ones; what is on the right looks the same."""
    gray = stripes(seed, lying=warm)
    gray[:, 12:] = 0.5 + 0.05 * np.random.default_rng(seed).standard_normal((28, 16)).clip(-2, 2)
    return picture(gray, -0.08 if warm else 0.08, 0.08 if warm else -0.08)


def right_half(system: ChengDeep, warm: bool) -> float:
    """Mean b of an unseen scene's right half: yellow from 0 up."""
    lab = rgb_to_lab(scene(200 + warm, warm)[None].double())
    return float(system.colorize(lab[:, :1])[0, 1, :, 20:].mean())


def test_contradictory_scenes_need_networks_of_their_own() -> None:
    scenes = loader([scene(seed, warm=seed % 2 == 0) for seed in range(12)])
    one, two = (ChengDeep(**{**SMALL, "kinds": kinds}, steps=300) for kinds in (1, 2))
    one.fit(scenes, seed=0)
    two.fit(scenes, seed=0)
    truth = [float(rgb_to_lab(scene(0, warm)[None].double())[0, 2].mean()) for warm in (True, False)]
    assert truth[0] > 15 > -15 > truth[1]
    assert right_half(two, True) == pytest.approx(truth[0], abs=4)
    assert right_half(two, False) == pytest.approx(truth[1], abs=4)
    assert abs(right_half(one, True) - right_half(one, False)) < 0.5 * (truth[0] - truth[1])


def test_images_that_are_coloured_well_leave_and_the_others_are_clustered_anew() -> None:
    scenes = [scene(seed, warm=seed % 2 == 0) for seed in range(6)]
    many = ChengDeep(**{**SMALL, "rounds": 3, "kinds": 2, "bound": 200.0}, steps=2)
    many.fit(loader(scenes), seed=0)
    assert len(many.learned) == 2, (
        "nothing is so good: networks of early rounds are given up, the last ones stay"
    )
    easy = ChengDeep(**{**SMALL, "rounds": 3, "kinds": 2, "bound": -100.0}, steps=2)
    easy.fit(loader(scenes), seed=0)
    assert len(easy.learned) == 2, "everything is: there is one round"


def test_the_nearest_kinds_are_asked_for_their_classes() -> None:
    system = ChengDeep(nearest=2)
    nets = [nn.Sequential() for _ in range(3)]
    gists, histograms = ([0.0, 1.0, 5.0], [[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
    system.learned = [
        Kind(np.array([gist]), np.array(histogram), net)
        for gist, histogram, net in zip(gists, histograms, nets, strict=True)
    ]
    assert system.kind_of(np.array([0.4]), np.array([0.1, 0.9])).net is nets[1], (
        "the third looks too different"
    )
    assert system.kind_of(np.array([0.4]), np.array([0.9, 0.1])).net is nets[0]
    assert system.kind_of(np.array([4.0]), np.array([0.1, 0.9])).net is nets[2]


def test_classes_of_texture_tell_stripes_apart() -> None:
    grays = [stripes(seed, lying=seed % 2 == 0) for seed in range(12)]
    classes = texture_classes.learned(grays, 2, seed=0)
    posteriors = [classes.posterior(stripes(seed, lying=seed % 2 == 0)) for seed in (50, 51, 52, 53)]
    assert posteriors[0].shape == (2, 28, 28)
    np.testing.assert_allclose(posteriors[0].sum(0), 1)
    likely = [int(one.mean((1, 2)).argmax()) for one in posteriors]
    assert likely == [likely[0], 1 - likely[0]] * 2
    flat = texture_classes.learned([np.full((9, 9), 0.5)] * 2, 5, seed=0)
    assert flat.posterior(np.full((9, 9), 0.5)).shape == (1, 9, 9)


def test_the_same_seed_gives_the_same_bits_and_leaves_other_draws_alone() -> None:
    light = rgb_to_lab(scene(60, True)[None])[:, :1]
    found = []
    for _ in range(2):
        system = ChengDeep(**{**SMALL, "kinds": 2}, steps=5)
        before = torch.get_rng_state()
        system.fit(loader([scene(seed, warm=seed % 2 == 0) for seed in range(4)]), seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        found.append(system.colorize(light))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": 0}, "ChengDeep.kinds starts at 1, got 0"),
        ({"rate": 0.0}, "ChengDeep.rate is a positive number, got 0.0"),
        ({"by_gray": float("nan")}, "ChengDeep.by_gray is a positive number, got nan"),
        ({"side": 7}, "sides from 8"),
        ({"bound": float("nan")}, "bound in dB"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChengDeep(**change)


def test_what_cannot_be_coloured_is_refused() -> None:
    with pytest.raises(ValueError, match="fit to training images first"):
        ChengDeep().colorize(torch.zeros(1, 1, 20, 20))
    system = ChengDeep(**SMALL, steps=1)
    system.fit(loader([scene(0, True)]), seed=0)
    with pytest.raises(ValueError, match="image 0 of the batch of 1: sides must have 8"):
        system.colorize(torch.zeros(1, 1, 7, 20))
