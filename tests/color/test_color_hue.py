"""Hue and chroma against scikit-image, means and medians of histograms against slow ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import color
from torch import Tensor

from pretext.color import histogram_median, hue_and_chroma, mean_direction, rgb_of_hue


def images() -> Tensor:
    """Random colours, and those on edges and corners of the cube."""
    free = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.25, 0.5, 1.0])] * 3)  # (64, 3)
    return torch.cat([free, corners.t().reshape(1, 3, 8, 8)])


def test_hue_and_chroma_are_those_of_hsv() -> None:
    rgb = images()
    hsv = color.rgb2hsv(rgb.double().numpy(), channel_axis=1)
    found = hue_and_chroma(rgb)
    turn = (found[:, 0].numpy() - hsv[:, 0] + 0.5) % 1 - 0.5
    np.testing.assert_allclose(turn, 0, atol=1e-5)
    np.testing.assert_allclose(found[:, 1].numpy(), hsv[:, 1] * hsv[:, 2], atol=1e-6)
    assert 0 <= float(found[:, 0].min()) <= float(found[:, 0].max()) < 1
    just_below = torch.tensor([0.5, 0.0, 1e-9]).view(1, 3, 1, 1)
    assert 0 <= float(hue_and_chroma(just_below)[0, 0]) < 1


def test_a_color_comes_back_from_its_mean() -> None:
    rgb = images()
    torch.testing.assert_close(rgb_of_hue(hue_and_chroma(rgb), rgb.mean(1, keepdim=True)), rgb)


def test_a_hue_of_both_ends_of_the_circle_is_red() -> None:
    ends = torch.zeros(32)
    ends[[0, 31]] = 0.5
    turns, length = mean_direction(ends)
    assert min(float(turns), 1 - float(turns)) < 1e-6
    assert float(length) == pytest.approx(np.cos(np.pi / 32), abs=1e-6)


def test_directions_are_those_of_complex_numbers() -> None:
    shares = torch.rand(5, 7, 8, generator=torch.Generator().manual_seed(1)).softmax(-1)
    turns, length = mean_direction(shares)
    z = shares.numpy() @ np.exp(2j * np.pi * (np.arange(8) + 0.5) / 8)
    np.testing.assert_allclose(length, np.abs(z), atol=1e-6)
    np.testing.assert_allclose(np.exp(2j * np.pi * turns.numpy()), z / np.abs(z), atol=1e-4)
    assert float(mean_direction(torch.full((8,), 1 / 8))[1]) < 1e-6


def test_medians_are_those_of_many_values() -> None:
    shares = (4 * torch.randn(6, 8, generator=torch.Generator().manual_seed(2))).softmax(-1)
    for row, median in zip(shares, histogram_median(shares), strict=True):
        values = [
            np.linspace(k / 8, (k + 1) / 8, max(int(1e5 * float(share)), 1), endpoint=False)
            for k, share in enumerate(row)
        ]
        assert float(median) == pytest.approx(float(np.median(np.concatenate(values))), abs=1e-3)
    two = torch.tensor([0.6, 0, 0, 0, 0, 0, 0, 0.4])
    assert float(histogram_median(two)) == pytest.approx(0.5 / 0.6 / 8)
    assert float(histogram_median(two.flip(0))) == pytest.approx(1 - 0.5 / 0.6 / 8)
    one = torch.eye(8)
    torch.testing.assert_close(histogram_median(one), (torch.arange(8) + 0.5) / 8)
