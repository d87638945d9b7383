"""Dense SURF: against a slow sum over squares, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pretext.colorizers import surf


def slow(gray: NDArray[np.float64], row: int, column: int) -> NDArray[np.float64]:
    """A pixel's description at scale 1, by loops; the border is out of reach."""
    down = np.zeros_like(gray)
    right = np.zeros_like(gray)
    down[1:-1] = gray[2:] - gray[:-2]
    right[:, 1:-1] = gray[:, 2:] - gray[:, :-2]
    found = []
    for i in (-8, -3, 3, 8):
        for j in (-8, -3, 3, 8):
            window = np.s_[row + i - 2 : row + i + 3, column + j - 2 : column + j + 3]
            dx, dy = right[window], down[window]
            sums = np.array([dx.mean(), abs(dx).mean(), dy.mean(), abs(dy).mean()])
            found.append(sums * np.exp(-(i * i + j * j) / (2 * 3.3**2)))
    whole = np.concatenate(found)
    return whole / np.sqrt((whole**2).sum() + 1e-4)


def test_a_description_is_the_sum_over_sixteen_squares() -> None:
    gray = np.random.default_rng(0).uniform(size=(40, 37))
    found = surf.dense(gray, 1)
    assert found.shape == (40, 37, 64)
    for row, column in ((15, 16), (20, 20), (24, 17)):
        np.testing.assert_allclose(found[row, column], slow(gray, row, column), atol=1e-5)


def test_the_extended_one_is_split_by_the_other_difference() -> None:
    gray = np.random.default_rng(1).uniform(size=(50, 50))
    plain, extended = surf.dense(gray, 2), surf.dense(gray, 2, extended=True)
    assert extended.shape == (50, 50, 128)
    at = extended.reshape(50, 50, 16, 8)
    joined = np.stack([at[..., i] + at[..., i + 2] for i in (0, 1, 4, 5)], -1).reshape(50, 50, 64)
    joined /= np.linalg.norm(joined, axis=-1, keepdims=True)
    np.testing.assert_allclose(joined, plain / np.linalg.norm(plain, axis=-1, keepdims=True), atol=1e-4)
    ramp = np.add.outer(np.arange(50.0), np.arange(50.0)) / 100  # both differences positive
    halves = surf.dense(ramp, 1, extended=True)[25, 25].reshape(16, 8)
    assert np.abs(halves[:, [0, 1, 4, 5]]).max() < 1e-6
    assert halves[:, [2, 3, 6, 7]].min() > 0


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_brightness_and_contrast_do_not_count_and_flat_is_nothing(scale: int) -> None:
    gray = np.random.default_rng(2).uniform(size=(64, 64))
    np.testing.assert_allclose(surf.dense(gray / 2 + 0.3, scale), surf.dense(gray, scale), atol=2e-2)
    assert np.abs(surf.dense(np.full((20, 30), 0.4), scale)).max() < 1e-9
    mirrored = surf.dense(gray[:, ::-1].copy(), scale)[:, ::-1].reshape(64, 64, 4, 4, 4)[:, :, :, ::-1]
    expected = surf.dense(gray, scale).reshape(64, 64, 4, 4, 4) * np.array([-1, 1, 1, 1])
    np.testing.assert_allclose(mirrored, expected, atol=1e-5)


def test_a_scale_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="from 1, got 0"):
        surf.dense(np.zeros((9, 9)), 0)
