"""The joint bilateral filter: against loops, and what it keeps and removes."""

from __future__ import annotations

import numpy as np
import pytest

from pretext.colorizers.joint_bilateral import smoothed


def test_it_is_the_weighted_mean_over_a_disc() -> None:
    draw = np.random.default_rng(0)
    values, guide = draw.normal(size=(2, 9, 7)), draw.uniform(size=(9, 7))
    expected = np.zeros_like(values)
    for row in range(9):
        for column in range(7):
            total = 0.0
            for i in range(9):
                for j in range(7):
                    far = (i - row) ** 2 + (j - column) ** 2
                    if far <= 16:
                        like = np.exp(
                            -((guide[i, j] - guide[row, column]) ** 2) / (2 * 0.2**2) - far / (2 * 2.5**2)
                        )
                        total += like
                        expected[:, row, column] += like * values[:, i, j]
            expected[:, row, column] /= total
    np.testing.assert_allclose(smoothed(values, guide, 4, 0.2, 2.5), expected, atol=1e-12)


def test_noise_goes_and_a_step_stays_where_gray_steps() -> None:
    """With a diameter of 11 and deviations of 0.1 and 3, as OpenCV's filter does."""
    noise = np.random.default_rng(1).standard_normal((1, 48, 48))
    assert smoothed(noise, np.full((48, 48), 0.5)).std() < 0.2 * noise.std()
    step = np.where(np.arange(48) < 24, -1.0, 1.0) * np.ones((1, 48, 48))
    for height, kept in ((0.3, 0.98), (0.2, 0.82)):
        found = smoothed(step, step[0] * height / 2 + 0.5)[0, 24]
        assert (found[24] - found[23]) / 2 == pytest.approx(kept, abs=0.01)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"guide \(H, W\), got \(2, 4, 4\), \(4, 5\)"):
        smoothed(np.zeros((2, 4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match=r"got 5, 0, 3\.0"):
        smoothed(np.zeros((2, 4, 4)), np.zeros((4, 4)), by_guide=0)
    assert smoothed(np.ones((1, 1, 1)), np.ones((1, 1))).item() == 1
