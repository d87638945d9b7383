"""A colour that enters another space comes out as it was, at its own lightness, or at the gamut's edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.color import rgb2yiq, yiq2rgb

from pretext.color import rgb_to_lab
from pretext.colorizers import lalphabeta
from pretext.colorizers.own_lightness import ab_at

Floats = NDArray[np.float64]
SPACES = {
    "YIQ": (rgb2yiq, yiq2rgb, -2.0, 3.0),
    "lαβ": (lalphabeta.from_rgb, lalphabeta.to_rgb, -8.0, 2.0),
}


def lab(rgb: Floats) -> Floats:
    """Lab (3, H, W) of (H, W, 3)."""
    return np.asarray(rgb_to_lab(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0].numpy())


@pytest.mark.parametrize("space", SPACES)
def test_colours_come_out_as_they_were(space: str) -> None:
    enter, leave, low, high = SPACES[space]
    rgb = np.random.default_rng(0).uniform(0.02, 1, (40, 50, 3))
    entered = enter(rgb)
    light, *ab = lab(rgb)
    found = ab_at(light, lambda level: leave(np.dstack([level, entered[..., 1:]])), low, high)
    np.testing.assert_allclose(found, ab, atol=1e-6)


def test_what_no_screen_shows_is_brought_to_the_gamut() -> None:
    """A red of 0.9 above its green cannot be as dark as L 20: green and blue end at 0."""
    found = ab_at(np.full((1, 1), 20.0), lambda level: np.dstack([level + 0.9, level, level]), -2, 3)
    levels = np.linspace(0, 1, 2000)[None]
    reds = lab(np.dstack([levels, 0 * levels, 0 * levels]))[1:, 0]
    assert np.linalg.norm(reds - found[:, 0], axis=0).min() < 0.1, "a pure red"


def test_every_lightness_is_met_and_none_is_searched_for_beyond_the_ends() -> None:
    """Black is below the least brightness of logarithms: it stays at that end, whatever its neighbours do."""
    light = np.linspace(0, 100, 60).reshape(6, 10)
    alphabeta = np.random.default_rng(1).normal(0, 0.05, (6, 10, 2))
    asked: list[Floats] = []

    def leave(level: Floats) -> Floats:
        asked.append(level)
        return lalphabeta.to_rgb(np.dstack([level, alphabeta]))

    ab_at(light, leave, -8.0, 2.0)
    chosen = asked[-1]
    shown = lab(leave(chosen))[0]
    assert chosen[0, 0] == pytest.approx(-8)
    assert shown[0, 0] > 0
    np.testing.assert_allclose(shown.ravel()[1:], light.ravel()[1:], atol=1e-8)
    assert len(asked) < 40, "far fewer than halvings would take"
    ab_at(np.full((1, 1), 100.0), lambda level: asked.append(level) or np.dstack([level / 9] * 3), 0.0, 4.0)
    assert asked[-1] == pytest.approx(4)
