"""Charpiat: planted distributions, one cut instead of their mean, and energies that only fall."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from loaded import loader
from numpy.typing import NDArray
from torch import Tensor

from pretext.color import lab_to_rgb, rgb_to_lab
from pretext.colorizers import charpiat
from pretext.colorizers.alpha_expansion import grid_edges
from pretext.colorizers.charpiat import Charpiat, continuous_energy, refined

RED, BLUE = np.array([45.0, 30.0]), np.array([5.0, -45.0])
PURPLE = 0.6 * RED + 0.4 * BLUE
SMALL = {"samples": 4000, "neighbours": 400, "bins": 3, "components": 12}


def texture(seed: int, side: int = 64) -> NDArray[np.float64]:
    """L (H, W) of fine noise, the same statistics everywhere."""
    return 50 + 5 * np.random.default_rng(seed).standard_normal((side, side)).clip(-2, 2)


def two_coloured(seed: int, red: float, side: int = 64) -> tuple[Tensor, NDArray[np.bool_]]:
    """The texture in squares of 8 pixels, some red, the others blue: RGB (3, H, W), and where it is red."""
    squares = np.zeros((side // 8) ** 2, bool)
    squares[: round(red * len(squares))] = True
    drawn = np.random.default_rng(seed).permutation(squares).reshape(side // 8, side // 8)
    where = np.kron(drawn, np.ones((8, 8), bool))
    ab = np.where(where, RED[:, None, None], BLUE[:, None, None])
    lab = torch.from_numpy(np.concatenate([texture(seed, side)[None], ab]))[None]
    return lab_to_rgb(lab)[0], where


@pytest.fixture(scope="module")
def taught() -> Charpiat:
    """Fitted on that texture, and on a flat purple."""
    flat = np.broadcast_to(np.array([50, *PURPLE])[:, None, None], (3, 64, 64)).copy()
    system = Charpiat(**SMALL)
    purple = lab_to_rgb(torch.from_numpy(flat)[None])[0]
    system.fit(loader([*(two_coloured(seed, 0.6)[0] for seed in range(4)), purple]), seed=0)
    return system


def share(system: Charpiat, shares: NDArray[np.float64], colour: NDArray[np.float64]) -> NDArray[np.float64]:
    assert system.learned is not None
    return np.asarray(shares[:, np.linalg.norm(system.learned.colours - colour, axis=1).argmin()])


def test_a_distribution_is_what_pixels_of_that_look_had(taught: Charpiat) -> None:
    assert taught.learned is not None
    shares, variation = taught.predict(texture(100), taught.learned)
    np.testing.assert_allclose(shares.sum(1), 1)
    found = share(taught, shares, RED)
    assert found.mean() == pytest.approx(0.6, abs=0.05)
    assert (np.abs(found - 0.6) < 0.12).mean() > 0.95
    np.testing.assert_allclose(share(taught, shares, BLUE), 1 - found, atol=0.02)
    slopes = [np.hypot(*np.gradient(two_coloured(seed, 0.6)[1].astype(float))).mean() for seed in range(4)]
    assert variation.mean() == pytest.approx(np.mean(slopes) * np.linalg.norm(RED - BLUE), rel=0.15)


def test_the_cut_chooses_where_the_mean_is_purple(taught: Charpiat) -> None:
    assert taught.learned is not None
    shares, _ = taught.predict(texture(101), taught.learned)
    assert (np.linalg.norm(shares @ taught.learned.colours - PURPLE, axis=1) < 15).mean() > 0.95
    found = taught.colorize(torch.from_numpy(texture(101))[None, None])[0].numpy()
    assert (np.linalg.norm(found - RED[:, None, None], axis=0) < 8).all(), "the likelier one, everywhere"
    flat = taught.colorize(torch.full((1, 1, 64, 64), 50.0))[0].numpy()
    assert (np.linalg.norm(flat - PURPLE[:, None, None], axis=0) < 8).all(), "purple is among the colours"


def test_two_looks_have_two_colours(taught: Charpiat) -> None:
    """A calm and a rough half, each with its own colour: the boundary is where the look changes."""
    rough = texture(5)
    calm = 50 + (rough - 50) * 0.1
    light = np.where(np.arange(64) < 32, rough, calm)
    ab = np.where(np.arange(64) < 32, RED[:, None, None], BLUE[:, None, None]) * np.ones((2, 64, 64))
    rgb = lab_to_rgb(torch.from_numpy(np.concatenate([light[None], ab]))[None])[0]
    system = Charpiat(**SMALL)
    system.fit(loader([rgb]), seed=0)
    found = system.colorize(torch.from_numpy(light[:, ::-1].copy())[None, None])[0].numpy()
    right = np.linalg.norm(found - ab[:, :, ::-1], axis=0) < 10
    assert right[:, :20].mean() > 0.98
    assert right[:, 44:].mean() > 0.98


def test_expected_variation_loosens_the_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where colours are expected to change a weak sign is followed; elsewhere it is smoothed over."""
    system = Charpiat(bins=2, smoothness=1.0, steps=0)
    colours = np.stack([RED, BLUE])
    shares = np.tile([0.9, 0.1], (64, 1))
    middle = np.zeros((8, 8), bool)
    middle[3:5, 3:5] = True
    shares[middle.ravel()] = [0.1, 0.9]

    def chosen(variation: float) -> NDArray[np.float64]:
        learned: Any = type("Learned", (), {"colours": colours})
        monkeypatch.setattr(system, "predict", lambda light, learned: (shares, np.full(64, variation)))
        return system._chosen(np.zeros((8, 8)), learned)

    assert (chosen(2.0) == RED[:, None, None]).all()
    loose = chosen(5000.0)
    assert (loose[0][middle] == BLUE[0]).all()
    assert (loose[0][~middle] == RED[0]).all()


def test_refining_never_raises_the_energy_and_moves_little() -> None:
    draw = np.random.default_rng(0)
    colours = draw.uniform(-60, 60, (9, 2))
    shares = draw.dirichlet(np.ones(9), 100)
    edges = grid_edges(10, 10, diagonal=True)
    weights = draw.uniform(0, 0.4, len(edges))
    ab = colours[shares.argmax(1)]
    costs = [continuous_energy(ab, shares, colours, edges, weights)]
    for _ in range(6):
        ab = refined(ab, shares, colours, edges, weights)
        costs.append(continuous_energy(ab, shares, colours, edges, weights))
    assert (np.diff(costs) <= 1e-6 * abs(costs[0])).all()
    assert costs[-1] < costs[0] - 1


def test_the_same_seed_gives_the_same_bits_and_training_images_are_their_own_best_guess() -> None:
    rgb = two_coloured(0, 0.5)[0]
    found = []
    for _ in range(2):
        system = Charpiat(**SMALL)
        system.fit(loader([rgb]), seed=3)
        found.append(system.colorize(rgb_to_lab(rgb[None])[:, :1]))
    assert torch.equal(*found)


def test_a_large_image_is_coloured_as_a_copy(taught: Charpiat) -> None:
    system = Charpiat(**SMALL, side=24)
    system.learned = taught.learned
    assert system.colorize(torch.full((1, 1, 30, 60), 40.0)).shape == (1, 2, 12, 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": 0}, "bins, components"),
        ({"components": 193}, "192 components"),
        ({"samples": 10}, "samples from neighbours"),
        ({"smoothness": float("nan")}, "Charpiat.smoothness is a number from 0, got nan"),
        ({"side": 4}, "sides from 8"),
        ({"steps": -1}, "steps from 0"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Charpiat(**change)


def test_what_cannot_be_coloured_or_learned_from_is_refused(taught: Charpiat) -> None:
    with pytest.raises(ValueError, match="image 0 of the batch of 1: sides must have 8"):
        taught.colorize(torch.zeros(1, 1, 7, 20))
    with pytest.raises(ValueError, match="fit to training images first"):
        Charpiat().colorize(torch.zeros(1, 1, 20, 20))
    with pytest.raises(ValueError, match="1 images with colour or more; 0"):
        Charpiat().fit(loader([torch.full((3, 16, 16), 0.5)]), seed=0)
    assert charpiat.blur(np.array([[0.0, 0], [10, 0], [40, 0]])) == pytest.approx((10 + 10 + 30) / 6)
