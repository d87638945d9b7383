"""A planted scene under planted lights comes back exactly, whatever shadows lie on its pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import ProjectiveTransform, warp

from pretext.color import lab_to_rgb, rgb_to_lab
from pretext.colorizers import linear_light
from pretext.colorizers.contract import Hints
from pretext.colorizers.liu_intrinsic import LiuIntrinsic, relit
from pretext.colorizers.registration import SameFrame, SiftHomography
from pretext.colorizers.weiss import integrate, reflectance

Floats = NDArray[np.float64]
SHADE = np.array([0.4, 0.45, 0.6])


def mondrian(side: int = 64, seed: int = 0) -> Floats:
    """8×8 patches of reflectance in [.2, 1]: (side, side, 3)."""
    patches = np.random.default_rng(seed).uniform(0.2, 1, (8, 8, 3))
    return np.kron(patches, np.ones((side // 8, side // 8, 1)))


def shadowed(scene: Floats, count: int) -> Floats:
    """Pictures of it, each tinted dark on one side of a hard edge: (K, H, W, 3)."""
    pictures = []
    for i, edge in enumerate(np.linspace(7, 59, count).round().astype(int)):
        light = np.ones_like(scene)
        if i % 2:
            light[:edge] = SHADE
        else:
            light[:, :edge] = SHADE
        pictures.append(scene * light)
    return np.stack(pictures)


def evening(scene: Floats) -> Floats:
    """The scene, half as light below the antidiagonal."""
    down, across = np.indices(scene.shape[:2])
    return scene * np.where(down + across < len(scene), 1, 0.5)[..., None]


def decibels(found: Floats, truth: Floats) -> float:
    return float(-10 * np.log10(np.mean((found - truth) ** 2) + 1e-300))


def made(pictures: Floats, truth: Floats) -> Floats:
    seen = np.ones(pictures.shape[:3], dtype=bool)
    return relit(truth @ linear_light.LUMINANCE, pictures, seen, tolerance=0.25)


@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_three_or_more_pictures_give_the_scene_exactly(count: int) -> None:
    truth = evening(mondrian())
    assert decibels(made(shadowed(mondrian(), count), truth), truth) > 250


def test_one_picture_alone_is_far_from_it() -> None:
    """What copying one picture's chromaticity reaches: the test above would notice if nothing was found."""
    truth = evening(mondrian())
    one = shadowed(mondrian(), 3)[1]
    luminance = (truth @ linear_light.LUMINANCE)[..., None]
    assert decibels(one / (one @ linear_light.LUMINANCE)[..., None] * luminance, truth) < 40


@pytest.mark.parametrize(("count", "least"), [(3, 37.5), (5, 40)])
def test_noise_is_borne(count: int, least: float) -> None:
    draw = np.random.default_rng(1)
    truth = evening(mondrian())
    pictures = shadowed(mondrian(), count)
    noisy = np.maximum(pictures + draw.normal(0, 0.01, pictures.shape), 1e-3)
    assert decibels(made(noisy, truth), truth) > least


def test_where_pictures_disagree_neighbours_of_the_same_brightness_fill_in() -> None:
    """A thing that is another in each picture, on an even ground."""
    scene = np.broadcast_to(np.array([0.6, 0.4, 0.3]), (32, 32, 3)).copy()
    pictures = np.stack([scene * light for light in (1, 0.7, 0.5)])
    for i, picture in enumerate(pictures):
        picture[10:16, 10:16] = np.random.default_rng(i).uniform(0.1, 1, (6, 6, 3))
    found = reflectance(pictures, np.ones((3, 32, 32), dtype=bool), tolerance=0.25)
    assert found.agreed[20:].all()
    assert not found.agreed[11:15, 11:15].any()
    np.testing.assert_allclose(made(pictures, scene), scene, atol=0.1)  # 0.7 where nothing is filled in


def test_what_fewer_than_three_see_is_not_agreed_on() -> None:
    pictures = shadowed(mondrian(), 3)
    seen = np.ones((3, 64, 64), dtype=bool)
    seen[0, :, 50:] = False
    pictures[0, :, 50:] = 0.5
    found = reflectance(pictures, seen, tolerance=0.25)
    assert not found.agreed[:, 50:].any()
    assert found.agreed[:, :48].all()


def test_integration_is_the_least_squares_solution() -> None:
    draw = np.random.default_rng(0)
    down, across = draw.normal(size=(4, 6)), draw.normal(size=(5, 5))
    rows = []
    for r in range(4):
        for c in range(6):
            row = np.zeros((5, 6))
            row[r + 1, c], row[r, c] = 1, -1
            rows.append(row.ravel())
    for r in range(5):
        for c in range(5):
            row = np.zeros((5, 6))
            row[r, c + 1], row[r, c] = 1, -1
            rows.append(row.ravel())
    wanted, *_ = np.linalg.lstsq(np.stack(rows), np.concatenate([down.ravel(), across.ravel()]))
    np.testing.assert_allclose(integrate(down, across).ravel(), wanted, atol=1e-12)
    values = draw.normal(size=(5, 6))
    again = integrate(np.diff(values, axis=0), np.diff(values, axis=1))
    np.testing.assert_allclose(again, values - values.mean(), atol=1e-12)


def pictured(light: Floats) -> torch.Tensor:
    return torch.from_numpy(linear_light.to_srgb(light)).permute(2, 0, 1)


def test_the_system_colours_lightness() -> None:
    truth = pictured(evening(mondrian()))
    lab = rgb_to_lab(truth[None])
    hints = [Hints(references=tuple(pictured(one) for one in shadowed(mondrian(), 3)))]
    found = LiuIntrinsic(SameFrame()).colorize(lab[:, :1], hints)
    torch.testing.assert_close(found.double(), lab[:, 1:], rtol=0, atol=1e-3)


def test_two_references_or_others_of_another_size_are_refused() -> None:
    light = torch.full((1, 1, 64, 64), 50.0)
    pictures = tuple(pictured(one) for one in shadowed(mondrian(), 3))
    with pytest.raises(ValueError, match="image 0 of the batch of 1: needs 3 references or more"):
        LiuIntrinsic(SameFrame()).colorize(light, [Hints(references=pictures[:2])])
    cut = (*pictures[:2], pictures[2][:, :60])
    with pytest.raises(
        ValueError, match=r"image 0 .* reference 2 was not registered: it has \(60, 64\) pixels"
    ):
        LiuIntrinsic(SameFrame()).colorize(light, [Hints(references=cut)])
    with pytest.raises(ValueError, match="got 2"):
        reflectance(np.ones((2, 4, 4, 3)), np.ones((2, 4, 4), dtype=bool), 0.25)
    others = tuple(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(3))
    with pytest.raises(ValueError, match=r"image 0 .* the references agree nowhere"):
        LiuIntrinsic(SameFrame(), tolerance=1e-6).colorize(light, [Hints(references=others)])


def blobs(side: int = 160) -> Floats:
    """A picture with features at several scales, in [0, 1]."""
    draw = np.random.default_rng(0)
    fields = [gaussian_filter(draw.normal(size=(side, side, 3)), (s, s, 0)) * s for s in (2, 4, 8)]
    whole = sum(fields)
    return (whole - whole.min()) / np.ptp(whole)


def test_a_picture_from_another_place_is_brought_to_the_images_frame() -> None:
    scene = blobs()
    moved = ProjectiveTransform(np.array([[1.03, 0.05, -6], [-0.04, 0.98, 9], [1e-4, -5e-5, 1]]))
    picture = warp(scene, moved, order=3, mode="reflect") * 0.8
    laid, seen = SiftHomography()(scene.mean(-1), picture)
    assert 0.6 < seen.mean() < 1
    assert np.abs(laid - 0.8 * scene)[seen].mean() < 0.01
    assert np.abs(picture - 0.8 * scene)[seen].mean() > 0.04, "as it came it lies elsewhere"
    again, _ = SiftHomography()(scene.mean(-1), picture)
    assert np.array_equal(laid, again)


def test_a_picture_of_something_else_cannot_be_registered() -> None:
    with pytest.raises(ValueError, match="features match the image"):
        SiftHomography()(blobs().mean(-1), np.random.default_rng(5).random((64, 64, 3)))
    with pytest.raises(ValueError, match="features match the image"):
        SiftHomography()(blobs().mean(-1), np.full((64, 64, 3), 0.5))


def test_light_is_linear_and_its_luminance_is_that_of_lab() -> None:
    rgb = torch.rand(1, 3, 9, 11, dtype=torch.float64)
    light = linear_light.from_srgb(rgb[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(linear_light.to_srgb(light), rgb[0].permute(1, 2, 0).numpy(), atol=1e-12)
    lab = rgb_to_lab(rgb)
    wanted = linear_light.luminance_of(lab[0, 0].numpy())
    np.testing.assert_allclose(light @ linear_light.LUMINANCE, wanted, atol=1e-6)
    dark = torch.linspace(0, 8, 20, dtype=torch.float64).view(1, 1, 4, 5)
    gray = lab_to_rgb(torch.cat([dark, torch.zeros(1, 2, 4, 5).double()], 1))[0, 0].numpy()
    np.testing.assert_allclose(
        linear_light.from_srgb(gray), linear_light.luminance_of(dark[0, 0].numpy()), atol=1e-6
    )


def test_arguments_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"LiuIntrinsic\.tolerance lies above 0, got 0"):
        LiuIntrinsic(SameFrame(), tolerance=0)
    with pytest.raises(ValueError, match=r"SiftHomography\.ratio"):
        SiftHomography(ratio=1.5)
    with pytest.raises(ValueError, match="matches from 4"):
        SiftHomography(matches=3)
