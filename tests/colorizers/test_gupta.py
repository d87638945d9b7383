"""Gupta: mirrored quadrants, a vote that overrules one, the cascade, and scribbles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext.color import lab_to_rgb
from pretext.colorizers import gupta
from pretext.colorizers.contract import Hints
from pretext.colorizers.gupta import Gupta
from pretext.colorizers.retrieval import Chosen
from pretext.colorizers.superpixels import Described

COLOURS = np.array([[50.0, 20], [-40, 40], [10, -50], [0, 60]])


def quadrants(seed: int, side: int = 64) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """L (H, W) of four textures, each with a level of its own, and which is where."""
    draw = np.random.default_rng(seed)
    place = np.arange(side)
    textures = [
        35 + 6 * np.sin(2 * np.pi * place / 4)[:, None] * np.ones((1, side)),
        50 + 6 * np.sin(2 * np.pi * place / 4)[None] * np.ones((side, 1)),
        65 + 4 * draw.standard_normal((side, side)).clip(-2, 2),
        np.full((side, side), 80.0),
    ]
    half = place // (side // 2)
    which = 2 * half[:, None] + half[None]
    return np.choose(which, textures), which


def reference(light: NDArray[np.float64], which: NDArray[np.int64]) -> Tensor:
    lab = np.concatenate([light[None], COLOURS[which].transpose(2, 0, 1)])
    return lab_to_rgb(torch.from_numpy(lab)[None])[0]


def test_mirrored_textures_take_the_mirrored_colours() -> None:
    light, which = quadrants(0)
    target, mirrored = quadrants(1)[0][:, ::-1].copy(), which[:, ::-1]
    given = [Hints(references=(reference(light, which),))]
    found = Gupta(Chosen(), count=100).colorize(torch.from_numpy(target)[None, None], given)[0].numpy()
    right = np.linalg.norm(found - COLOURS[mirrored].transpose(2, 0, 1), axis=0) < 15
    assert (right[4:28, 4:28].mean() + right[4:28, 36:60].mean()) / 2 > 0.95
    assert (right[36:60, 4:28].mean() + right[36:60, 36:60].mean()) / 2 > 0.95


def test_one_wrong_superpixel_is_outvoted_and_halves_are_not() -> None:
    regions = np.kron(np.arange(16).reshape(4, 4), np.ones((5, 5), int))
    ab = np.tile([30.0, 10], (16, 1)) + np.random.default_rng(0).normal(size=(16, 2)) * 0.1
    ab[6] = [-40, 0]
    after = gupta.outvoted(ab, regions, np.zeros((20, 20), int))
    others = np.delete(ab, 6, 0)
    np.testing.assert_allclose(after[6], others.mean(0))
    np.testing.assert_array_equal(np.delete(after, 6, 0), others)
    halves = np.repeat([[30.0, 10], [-40, 0]], 8, axis=0)
    np.testing.assert_array_equal(gupta.outvoted(halves, regions, np.zeros((20, 20), int)), halves)
    segments = np.kron([[0], [0], [1], [1]], np.ones((5, 20), int))  # each half is a segment of its own
    np.testing.assert_array_equal(gupta.outvoted(halves, regions, segments), halves)


def described(
    gabor: list[float], surf: list[float], intensity: list[float], deviation: list[float]
) -> Described:
    return Described(*(np.array(part)[:, None] for part in (gabor, surf, intensity, deviation)))


def test_a_stage_drops_the_worse_half_whatever_comes_later() -> None:
    """The third is best in all but Gabor, where it is among the worse two of four."""
    target = described([0.0], [0.0], [0.0], [0.0])
    candidates = described(
        [1.0, 2.0, 3.0, 4.0], [5.0, 4.0, 0.0, 9.0], [5.0, 5.0, 0.0, 9.0], [5.0, 5.0, 0.0, 9.0]
    )
    assert gupta.matched(target, candidates, 0.5).tolist() == [1], "SURF decides between the first two"
    assert gupta.matched(target, candidates, 1.0).tolist() == [2], "without a cascade the sum does"


def test_the_sum_weighs_distances_by_their_shares() -> None:
    """Distances have the means that they are divided by: 1 each here."""
    target = described([0.0], [0.0], [0.0], [0.0])
    candidates = described([0.0, 2.0], [2.0, 0.0], [0.0, 2.0], [1.0, 1.0])
    assert gupta.matched(target, candidates, 1.0).tolist() == [1], ".5 · SURF against .2 + .2"
    assert sum(gupta.SHARES.values()) == pytest.approx(1)
    assert gupta.SHARES == {"gabor": 0.2, "surf": 0.5, "intensity": 0.2, "deviation": 0.1}


def test_scribbles_are_squares_inside_their_superpixel() -> None:
    regions = np.zeros((9, 12), int)
    regions[:, 6:] = 1
    regions[0, 0] = 2
    marked = gupta.centres(regions, 3)
    assert marked[regions == 1].sum() == 9
    assert marked[3:6, 7:10].all() or marked[3:6, 8:11].all()
    assert marked[0, 0]
    assert marked[regions == 2].sum() == 1
    assert marked[regions == 0].sum() == 9
    ring = np.ones((7, 7), int)
    ring[1:6, 1:6] = 0
    assert gupta.centres(ring, 1)[ring == 1].sum() == 1, "a ring's centre is not in it, its scribble is"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1}, "superpixels from 2"),
        ({"scribble": 2}, "odd scribble"),
        ({"kept": 0.0}, r"share kept in \(0, 1\]"),
        ({"compactness": float("inf")}, "positive compactness"),
        ({"side": 7}, "sides from 8"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gupta(Chosen(), **change)


def test_what_cannot_be_coloured_is_refused() -> None:
    light, which = quadrants(0)
    rgb = reference(light, which)
    system = Gupta(Chosen())
    with pytest.raises(ValueError, match="image 0 of the batch of 1: needs 1 references"):
        system.colorize(torch.full((1, 1, 16, 16), 50.0))
    with pytest.raises(ValueError, match="reference 0 has no colour"):
        system.colorize(torch.full((1, 1, 16, 16), 50.0), [Hints(references=(torch.full((3, 9, 9), 0.5),))])
    with pytest.raises(ValueError, match="image 0 of the batch of 1: sides must have 8"):
        system.colorize(torch.full((1, 1, 7, 16), 50.0), [Hints(references=(rgb,))])
    with pytest.raises(ValueError, match="its reference: sides must have 8"):
        system.colorize(torch.full((1, 1, 16, 16), 50.0), [Hints(references=(rgb[:, :5],))])
