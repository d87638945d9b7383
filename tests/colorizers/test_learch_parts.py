"""LEARCH's parts: its colours, the bank, filters and their solution, histograms, each against a slow one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch import Tensor

from pretext.color import rgb_to_lab
from pretext.colorizers import colour_filters, colour_histogram, leung_malik, own_lightness
from pretext.colorizers.gray_ratio import ratios, with_gray


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_colours_over_gray() -> None:
    rgb = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64).view(1, 3, 1, 1)
    assert ratios(rgb).flatten().tolist() == pytest.approx([0.45 / 0.5001, -0.3 / 0.5001])
    rgb = some(2, 3, 5, 6)
    rgb[:, :, 0, 0] = 0
    torch.testing.assert_close(with_gray(ratios(rgb), rgb.mean(1, keepdim=True)), rgb, atol=1e-12, rtol=0)


def test_a_colour_that_went_in_comes_out_at_its_lightness() -> None:
    rgb = some(1, 3, 9, 7)
    lab, c = rgb_to_lab(rgb)[0], ratios(rgb)

    def back(
        gray: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray(with_gray(c, torch.from_numpy(gray)[None, None])[0].permute(1, 2, 0))

    np.testing.assert_allclose(own_lightness.ab_at(lab[0].numpy(), back, 0, 4), lab[1:], atol=1e-6)


def test_the_bank_has_edges_bars_spots_and_gaussians() -> None:
    bank = leung_malik.bank()
    assert bank.shape == (48, 49, 49)
    np.testing.assert_allclose(bank[:44].sum((1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(bank[44:].sum((1, 2)), 1)
    np.testing.assert_allclose(np.abs(bank).sum((1, 2)), 1)
    turned = bank[:, ::-1, ::-1]
    np.testing.assert_allclose(turned[:18], -bank[:18], atol=1e-12)  # edges are odd
    np.testing.assert_allclose(turned[18:], bank[18:], atol=1e-12)
    np.testing.assert_allclose(
        bank[36:].transpose(0, 2, 1), bank[36:], atol=1e-12
    )  # the rest look alike all round
    for first in (0, 6, 12, 18, 24, 30):  # a quarter turn is three of six orientations on
        np.testing.assert_allclose(np.abs(np.rot90(bank[first])), np.abs(bank[first + 3]), atol=1e-12)


def test_responses_are_convolutions_and_tell_directions_apart() -> None:
    gray = some(30, 41).numpy()
    found = leung_malik.responses(gray)
    assert found.shape == (48, 30, 41)
    for which in (1, 20, 40, 47):
        slow = correlate(gray, leung_malik.bank()[which, ::-1, ::-1], mode="reflect")
        np.testing.assert_allclose(found[which], slow, atol=1e-10)
    lying = np.sin(np.arange(60.0))[:, None] * np.ones((1, 60))
    strong = np.abs(leung_malik.responses(lying)[18:24]).mean((1, 2))
    assert strong.argmax() == 0
    assert strong[0] > 20 * strong[3]


def filters(rows: int = 12) -> colour_filters.Filters:
    fields = [ratios(some(1, 3, 24, 20, seed=seed).cumsum(-1) / 20)[0] for seed in range(3)]
    return colour_filters.learned(fields, rows, seed=0, patches=600)


def dense(one: colour_filters.Filters, height: int, width: int) -> Tensor:
    """The filters as a matrix (K·H·W, 2·H·W), pixel by pixel."""
    count = 2 * height * width
    basis = torch.eye(count, dtype=torch.float64).view(count, 2, height, width)
    return one.of(basis).reshape(count, -1).T


def test_the_first_two_rows_are_the_pixel_and_the_others_responses_around_it() -> None:
    one = filters()
    field = some(1, 2, 15, 14)
    found = one.of(field)
    torch.testing.assert_close(found[:, :2], field)
    padded = np.pad(field[0].numpy(), ((0, 0), (5, 5), (5, 5)))
    for row, column in ((0, 0), (7, 3), (14, 13)):
        slow = (one.kernels.numpy() * padded[:, row : row + 11, column : column + 11]).sum((1, 2, 3))
        np.testing.assert_allclose(found[0, :, row, column], slow, atol=1e-12)


def test_the_transpose_is_one() -> None:
    one = filters()
    field, responses = some(2, 2, 13, 12), some(2, 12, 13, 12, seed=1)
    left, right = (one.of(field) * responses).sum(), (field * one.transposed(responses)).sum()
    torch.testing.assert_close(left, right)


def test_conjugate_gradients_find_what_a_direct_solution_does() -> None:
    one = filters()
    matrix = dense(one, 12, 13)
    assert float(torch.linalg.eigvalsh(matrix.T @ matrix)[0]) >= 1 - 1e-9, "the pixel itself bounds it"
    asked = some(1, 12, 12, 13, seed=2) - 0.5
    direct = torch.linalg.solve(
        matrix.T @ matrix + 1e-5 * torch.eye(len(matrix.T), dtype=torch.float64), matrix.T @ asked.flatten()
    )
    torch.testing.assert_close(one.solve(asked).flatten(), direct, atol=1e-4, rtol=0)


def test_a_field_is_found_again_from_its_responses() -> None:
    one = filters()
    field = some(1, 2, 30, 25) - 0.5
    torch.testing.assert_close(one.solve(one.of(field)), field, atol=1e-4, rtol=0)


def test_filters_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="rows from 3 to 42, got 43"):
        filters(43)
    with pytest.raises(ValueError, match="sides from 11"):
        colour_filters.learned([torch.zeros(2, 10, 20)], 12, 0)


def test_a_histogram_counts_bins_and_splits_between_them() -> None:
    on_bins = torch.randint(-60, 61, (2, 8, 9), generator=torch.Generator().manual_seed(0)).double() * 0.05
    found = colour_histogram.histogram(on_bins)
    edges = np.linspace(-3.025, 3.025, 122)
    slow, *_ = np.histogram2d(*on_bins.flatten(1).numpy(), bins=[edges, edges])
    np.testing.assert_allclose(found, slow / 72, atol=1e-9)
    between = colour_histogram.histogram(torch.tensor([0.0125, 3.5], dtype=torch.float64).view(2, 1, 1))
    assert between[60, 120] == pytest.approx(0.75)
    assert between[61, 120] == pytest.approx(0.25)


def test_the_mismatch_is_that_of_two_gaussians_and_0_of_equals() -> None:
    """Bhattacharyya's −log of two Gaussians of one width is (m − n)² / 8σ²."""
    here, there = (torch.full((2, 1, 1), value, dtype=torch.float64) for value in (-0.1, 0.2))
    target = colour_histogram.histogram(there)
    assert float(colour_histogram.mismatch(here, target)) == pytest.approx(2 * 0.09 / (8 * 0.15**2), rel=1e-2)
    assert float(colour_histogram.mismatch(there, target)) == pytest.approx(0, abs=1e-6)


def nothing(field: Tensor) -> Tensor:
    """A filter that responds to nothing."""
    return 0 * field


ZERO = torch.zeros(1, 2, 1, 1, dtype=torch.float64)


def test_steps_go_towards_the_target_and_never_up() -> None:
    field = 0.2 * some(2, 20, 21) - 0.1
    target = colour_histogram.histogram(0.2 * some(2, 20, 21, seed=1) + 0.4)
    free, costs = colour_histogram.towards(field, target, nothing, ZERO)
    assert costs == sorted(costs, reverse=True)
    assert len(costs) == 10, "nine steps"
    assert costs[-1] < 0.5 * costs[0]
    assert float(free.mean()) > 0.04 > 0.01 > float(field.mean())
    assert float((free - field).square().sum(0).sqrt().max()) <= 0.9 + 1e-9
    tied, weighed = colour_histogram.towards(field, target, lambda one: one, ZERO)
    assert weighed == sorted(weighed, reverse=True)
    assert float(tied.square().mean()) < float(free.square().mean())
    near = colour_histogram.histogram(field + 0.03)
    _, short = colour_histogram.towards(field, near, nothing, ZERO)  # the longest step is too long
    assert short == sorted(short, reverse=True)
    same, none = colour_histogram.towards(field, colour_histogram.histogram(field), nothing, ZERO)
    assert torch.equal(same, field) or none[-1] <= none[0]


def test_what_a_step_is_said_to_cost_is_what_it_costs() -> None:
    one = filters()
    field, asked = 0.2 * some(2, 14, 13) - 0.1, some(1, 12, 14, 13, seed=5) - 0.5
    target = colour_histogram.histogram(field + 0.3)
    moved, costs = colour_histogram.towards(field, target, one.at((14, 13)).of, asked, weight=0.5)
    residual = (
        (torch.nn.functional.conv2d(moved[None], one.kernels, padding=5) - asked).square().sum(1).mean()
    )
    assert len(costs) > 2
    assert costs[-1] == pytest.approx(
        float(colour_histogram.mismatch(moved, target) + 0.5 * residual), rel=1e-9
    )


def test_the_slope_of_the_mismatch_is_a_difference() -> None:
    target = colour_histogram.histogram(some(2, 4, 4) - 0.2)
    field = (some(2, 3, 3, seed=3) - 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda one: colour_histogram.mismatch(one, target), field, atol=1e-5)
