"""Superpixels: means, neighbours and descriptions, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from pretext.colorizers import superpixels

labelled = np.array([[0, 0, 1], [0, 2, 1], [2, 2, 3]])


def test_means_over_regions() -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 4))
    expected = [values[labelled == label].mean(0) for label in range(4)]
    np.testing.assert_allclose(superpixels.means(values, labelled), expected)


def test_which_touch_along_an_edge() -> None:
    expected = [[0, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0]]
    assert superpixels.touching(labelled).toarray().astype(int).tolist() == expected


def test_intensity_and_deviation_come_with_the_neighbours_mean() -> None:
    gray = np.random.default_rng(1).uniform(size=(3, 3))
    found = superpixels.described(gray, labelled)
    own = [gray[labelled == label].mean() for label in range(4)]
    around = [(own[1] + own[2]) / 2, (own[0] + own[2] + own[3]) / 3, (own[0] + own[1] + own[3]) / 3]
    np.testing.assert_allclose(found.intensity[:, 0], own)
    np.testing.assert_allclose(found.intensity[:3, 1], around)
    mirrored = np.pad(gray, 2, mode="symmetric")
    spread = np.array([[mirrored[i : i + 5, j : j + 5].std() for j in range(3)] for i in range(3)])
    np.testing.assert_allclose(
        found.deviation[:, 0], [spread[labelled == label].mean() for label in range(4)]
    )
    assert [part.shape for part in found] == [(4, 40), (4, 128), (4, 2), (4, 2)], "172 numbers"
    alone = superpixels.described(gray, np.zeros((3, 3), int))
    assert alone.intensity[0].tolist() == pytest.approx([gray.mean()] * 2)


def test_forty_filters_tell_frequency_and_direction_apart() -> None:
    across = 0.5 + 0.2 * np.sin(2 * np.pi * 0.125 * np.arange(64)) * np.ones((64, 1))
    sizes = superpixels.gabor_sizes(across)[20:44, 20:44].mean((0, 1)).reshape(5, 8)
    assert np.unravel_index(sizes.argmax(), (5, 8)) == (2, 0), "an eighth of a cycle a pixel, to the right"
    down = superpixels.gabor_sizes(across.T)[20:44, 20:44].mean((0, 1)).reshape(5, 8)
    assert np.unravel_index(down.argmax(), (5, 8)) == (2, 4)
    assert superpixels.gabor_sizes(np.full((20, 30), 0.7)).max() < 1e-9


def test_regions_follow_gray_and_are_numbered_without_gaps() -> None:
    gray = np.where(np.arange(40) < 17, 0.3, 0.7) * np.ones((40, 1))
    found = superpixels.regions(gray, 20, 0.1)
    assert sorted(np.unique(found)) == list(range(found.max() + 1))
    assert found.max() >= 8
    assert not set(np.unique(found[:, :17])) & set(np.unique(found[:, 17:])), "none crosses the step"
