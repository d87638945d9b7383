"""Tiles, jigsaw and context prediction: what is cut, shuffled and asked."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import toy
from torch import Tensor

from pretext.task import Images
from pretext.tasks.context_prediction import ContextPrediction
from pretext.tasks.jigsaw import Jigsaw
from pretext.tasks.tiles import cut_tiles, far_apart, without_color


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def places(side: int = 30, count: int = 5) -> Tensor:
    """Images whose channels say row, column and image."""
    row = torch.arange(side).view(1, 1, -1, 1).expand(count, 1, side, side)
    number = torch.arange(count).view(-1, 1, 1, 1).expand(count, 1, side, side)
    return torch.cat([row, row.transpose(2, 3), number], dim=1) / side


def test_a_tile_lies_in_its_cell_and_at_any_place_of_it() -> None:
    tops = set()
    for seed in range(30):
        tiles = (cut_tiles(places(), 3, 7, drawn(seed), augment=True) * 30).round()
        assert tiles.shape == (5, 9, 3, 7, 7)
        for number, (row, column) in enumerate(itertools.product(range(3), range(3))):
            top, left = tiles[:, number, 0, 0, 0], tiles[:, number, 1, 0, 0]
            assert bool(((top >= 10 * row) & (top <= 10 * row + 3)).all())
            assert bool(((left >= 10 * column) & (left <= 10 * column + 3)).all())
            tops |= set((top - 10 * row).tolist())
        assert tiles[:, :, 2, 0, 0].tolist() == [[i] * 9 for i in range(5)]
    assert tops == {0, 1, 2, 3}
    middle = (cut_tiles(places(31), 3, 6, drawn(), augment=False) * 31).round()
    assert middle[0, 4, :2, 0, 0].tolist() == [12, 12]


def test_channels_of_a_tile_lie_apart_by_no_more_than_the_shift() -> None:
    same = places()[:, :1].expand(-1, 3, -1, -1)
    tiles = (cut_tiles(same, 3, 6, drawn(), augment=True, shift=2) * 30).round()
    tops = tiles[..., 0, 0]  # (B, 9, 3)
    apart = tops.amax(2) - tops.amin(2)
    assert set(apart.flatten().tolist()) == {0, 1, 2}
    still = (cut_tiles(same, 3, 6, drawn(), augment=True) * 30).round()[..., 0, 0]
    assert bool((still.amax(2) == still.amin(2)).all())


def test_permutations_are_far_apart() -> None:
    found = far_apart(9, 20)
    assert all(sorted(row) == list(range(9)) for row in found.tolist())
    assert len({tuple(row) for row in found.tolist()}) == 20
    pairs = [(a != b).sum() for a, b in itertools.combinations(found, 2)]
    drawn_at_random = np.array([np.random.default_rng(i).permutation(9) for i in range(20)])
    by_chance = [(a != b).sum() for a, b in itertools.combinations(drawn_at_random, 2)]
    assert np.mean(pairs) > 8.3 > np.mean(by_chance)
    assert (found[0] != found[1]).all(), "the second is as far from the first as there is"
    assert len({tuple(row) for row in far_apart(4, 24).tolist()}) == 24
    with pytest.raises(ValueError, match="of 4 tiles there are 24 permutations; asked for 25"):
        far_apart(4, 25)


def test_what_loses_its_colour() -> None:
    pixels = toy.batch(200).pixels
    none = without_color(pixels, drawn(), 1.0, 0.0)
    torch.testing.assert_close(none, pixels.mean(1, keepdim=True).expand_as(pixels))
    assert torch.equal(without_color(pixels, drawn(), 0.0, 0.0), pixels)
    half = (without_color(pixels, drawn(), 0.5, 0.0) != pixels).flatten(1).any(1).float().mean()
    assert 0.4 < float(half) < 0.6
    middle = 0.4 + 0.2 * pixels  # nothing to clamp
    axis = torch.tensor([-1.0, 2.0, -1.0])
    left = torch.einsum("bchw,c->bhw", without_color(middle, drawn(), 0.0, 1.0), axis)
    torch.testing.assert_close(left, torch.zeros_like(left), atol=1e-6, rtol=0)


def jigsaw(**changes: Any) -> Jigsaw:
    small = {"grid": 2, "permutations": 24, "hidden": 8, "gray": 0.0, "project": 0.0, "shift": 0}
    return Jigsaw(toy.encoder("rgb"), **{**small, **changes})


def test_tiles_lie_as_the_permutation_says() -> None:
    learner = jigsaw().eval()
    pixels = places(16, 40)
    batch = learner.views(Images(pixels, torch.arange(40), None), drawn())
    straight = cut_tiles(pixels, 2, 6, drawn(), augment=False)
    for tiles, target, image in zip(batch.tiles, batch.targets.tolist(), straight, strict=True):
        assert torch.equal(tiles, image[learner.orders[target]])
    assert len(set(batch.targets.tolist())) > 10


def test_a_puzzle_is_told_by_where_the_tiles_were() -> None:
    """With tiles that say their place, the permutation can be read off; shuffled targets cannot."""
    learner = jigsaw(dropout=0.0)
    batch = learner.views(Images(places(16, 48), torch.arange(48), None), drawn())
    place = (batch.tiles[:, :, 0].mean((2, 3)) * 16 // 8) * 2 + batch.tiles[:, :, 1].mean((2, 3)) * 16 // 8
    assert torch.equal(place.long(), learner.orders[batch.targets])


def test_context_prediction_asks_for_all_eight_neighbours() -> None:
    learner = ContextPrediction(toy.encoder("rgb"), hidden=8, gray=0.0, shift=0, dropout=0.0).eval()
    batch = learner.views(Images(places(), torch.arange(5), None), drawn())
    seen: list[Tensor] = []
    learner.encoder.vector = lambda tiles: tiles[:, :2, 0, 0]  # type: ignore[method-assign]
    learner.each = torch.nn.Sequential()
    learner.pair = torch.nn.Sequential()
    learner.pair.forward = lambda pairs: seen.append(pairs) or torch.zeros(len(pairs), 8)  # type: ignore
    assert float(learner.loss(batch).loss) == pytest.approx(math.log(8))
    pairs = (seen[0] * 30).round().view(5, 8, 4)
    assert bool((pairs[:, :, :2] == 11).all()), "the one in the middle comes first"
    around = [(r, c) for r, c in itertools.product((1, 11, 21), (1, 11, 21)) if (r, c) != (11, 11)]
    assert [tuple(pair) for pair in pairs[0, :, 2:].long().tolist()] == around


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": 4}, r"Jigsaw.grid is 2 or 3 cells on a side, got 4"),
        ({"permutations": 25}, "24 permutations; asked for 25"),
        ({"dropout": 1.0}, r"Jigsaw.dropout is a share in \[0, 1\), got 1.0"),
        ({"gray": 2.0}, r"Jigsaw.gray is a probability in \[0, 1\], got 2.0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jigsaw(**changes)


def test_a_tile_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Jigsaw\.tile=16 does not fit in cells of 16 pixels.*a shift of 2"):
        jigsaw(tile=16, shift=2).views(toy.batch(4), drawn())
