"""Turned squares against scipy, colours against colorsys, one image and one pixel at a time."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from pretext import views


def test_a_turned_square_is_what_scipy_reads_of_a_mirrored_image() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(6, 3, 20, 26)
    centres = torch.tensor([[10.0, 13], [3, 4], [18, 25], [9.5, 7.25], [10, 13], [0, 0]])
    sides, angles = torch.tensor([8.0, 11, 6, 20, 8, 9]), torch.tensor([0.0, 20, -20, 90, 45, 7])
    found = views.turned_square(pixels, centres, sides, angles, 9)
    steps = (np.arange(9) + 0.5) / 9 - 0.5
    for image, centre, side, angle, squared in zip(pixels, centres, sides, angles, found, strict=True):
        turn = np.exp(1j * np.deg2rad(float(angle)))  # a step to the right is 1, a step down is i
        at = (steps[None] + 1j * steps[:, None]) * float(side) * turn
        rows, columns = float(centre[0]) + at.imag - 0.5, float(centre[1]) + at.real - 0.5
        for channel in range(3):
            expected = map_coordinates(
                image[channel].double().numpy(), [rows, columns], order=1, mode="reflect"
            )
            np.testing.assert_allclose(squared[channel].numpy(), expected, atol=2e-5)


def test_a_square_that_is_not_turned_is_a_slice_and_one_turned_by_90_a_turned_slice() -> None:
    pixels = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    where = torch.tensor([[6.0, 5.0]]), torch.tensor([6.0])
    slice_ = pixels[:, :, 3:9, 2:8]
    torch.testing.assert_close(views.turned_square(pixels, *where, torch.zeros(1), 6), slice_)
    turned = views.turned_square(pixels, *where, torch.tensor([90.0]), 6)
    torch.testing.assert_close(turned, torch.rot90(slice_, 1, (2, 3)), atol=1e-5, rtol=0)


def test_saturation_and_value_follow_the_curve_at_a_constant_hue() -> None:
    pixels = torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    saturation = torch.tensor([[0.25, 4, 1], [1.4, 0.7, 1], [-0.1, 0.1, 0]])
    value = torch.tensor([[2.0, 0.5, 1], [0.8, 1.3, 1], [0.1, -0.05, 0]])
    found = views.curve(pixels, saturation, value)
    for image, given, (s, v) in zip(
        found, pixels, zip(saturation.T.tolist(), value.T.tolist(), strict=True), strict=True
    ):
        for row, column in np.ndindex(4, 5):
            hue, *tone = colorsys.rgb_to_hsv(*given[:, row, column].tolist())
            new = [min(max(a**x * b + c, 0), 1) for a, (x, b, c) in zip(tone, (s, v), strict=True)]
            expected = colorsys.hsv_to_rgb(hue, *new)
            assert image[:, row, column].tolist() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(found[2], pixels[2])


def test_gray_stays_gray() -> None:
    gray = torch.tensor([0.0, 0.4, 1.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    found = views.curve(gray, torch.tensor([[1.0], [1.0], [0.1]]), torch.tensor([[2.0], [1.0], [0.0]]))
    torch.testing.assert_close(found, gray.square())


def test_colours_are_stretched_along_the_axes() -> None:
    draw = np.random.default_rng(0)
    pixels, mean = draw.uniform(0.3, 0.7, (2, 3, 3, 4)), np.array([0.5, 0.4, 0.6])
    axes, factors = np.linalg.qr(draw.normal(size=(3, 3)))[0], draw.uniform(0.5, 2, (2, 3))
    found = views.stretch(*(torch.from_numpy(x).float() for x in (pixels, mean, axes, factors)))
    for image, row, column in np.ndindex(2, 3, 4):
        colour, expected = pixels[image, :, row, column], mean.copy()
        for axis in range(3):
            along = axes[:, axis]
            expected += factors[image, axis] * np.dot(colour - mean, along) * along
        np.testing.assert_allclose(found[image, :, row, column].numpy(), expected.clip(0, 1), atol=1e-5)
