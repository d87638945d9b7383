"""PIRL: what tiles are cut and shuffled, what both heads are told from, and what moves the bank."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch import Tensor
from torch.nn import functional as F
from toy_fit import goes_on_to_the_bit

from pretext.data.loader import EpochLoader
from pretext.task import Images
from pretext.tasks import bank
from pretext.tasks.pirl import Pirl, Shuffled

PLAIN: dict[str, Any] = {"jitter": (0.0, 0.0, 0.0, 0.0), "gray": 0.0}


def task(folder: Path, **changes: Any) -> Pirl:
    small = {"grid": 2, "outputs": 8, "temperature": 0.1, "negatives": 0}
    learner = Pirl(toy.encoder("rgb"), **{**small, **changes})
    learner.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), folder)
    return learner


def drawn(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(learner: Pirl, batch: Shuffled) -> list[Tensor]:
    """Of the views and, last, of the tiles, one image and tile at a time."""
    found = [F.normalize(learner.head(learner.encoder.vector(view)), dim=1) for view in batch.pixels]
    tiles = []
    for each in batch.tiles:
        parts = [learner.each(learner.encoder.vector(tile[None]))[0] for tile in each]
        tiles.append(F.normalize(learner.whole(torch.cat(parts)), dim=0))
    return [*found, torch.stack(tiles)]


def nats(one: Tensor, known: Tensor, own: list[int]) -> float:
    total = 0.0
    for row, place in zip(one.double(), own, strict=True):
        weights = [math.exp(float(row @ other) / 0.1) for other in known.double()]
        total -= math.log(weights[place] / sum(weights)) / len(one)
    return total


@torch.no_grad()
def test_views_and_tiles_are_told_among_all_training_images(tmp_path: Path) -> None:
    learner = task(tmp_path, share=0.25)
    batch = learner.views(toy.batch(6), drawn())
    assert batch.pixels.shape[:2] == (1, 6)
    learner.eval()
    view, tiles = vectors(learner, batch)
    own = batch.positions.tolist()
    expected = 0.75 * nats(view, learner.bank, own) + 0.25 * nats(tiles, learner.bank, own)
    step = learner.loss(batch)
    assert float(step.loss) == pytest.approx(expected, rel=1e-5)
    hits = ((tiles @ learner.bank.T).argmax(1) == batch.positions).float().mean()
    assert float(step.logs["accuracy_tiles"]) == pytest.approx(float(hits))
    assert learner.chance(batch)["loss"] == pytest.approx(math.log(24))


@torch.no_grad()
def test_in_validation_a_second_view_stands_for_the_bank(tmp_path: Path) -> None:
    learner = task(tmp_path).eval()
    batch = learner.views(toy.batch(6), drawn())
    one, two, tiles = vectors(learner, batch)
    expected = (nats(one, two, list(range(6))) + nats(tiles, two, list(range(6)))) / 2
    assert float(learner.loss(batch).loss) == pytest.approx(expected, rel=1e-5)
    assert learner.chance(batch)["loss"] == pytest.approx(math.log(6))


@torch.no_grad()
def test_views_alone_move_the_bank_behind_the_loss(tmp_path: Path) -> None:
    learner = task(tmp_path, momentum=0.75)
    batch = learner.views(toy.batch(6), drawn())
    before = learner.bank.clone()
    new = F.normalize(learner.head(learner.encoder.vector(batch.pixels[0])), dim=1)
    learner.loss(batch)
    torch.testing.assert_close(learner.bank[:6], F.normalize(0.75 * before[:6] + 0.25 * new, dim=1))
    assert torch.equal(learner.bank[6:], before[6:])


def test_vectors_of_all_processes_move_the_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = task(tmp_path, momentum=0.0)
    images = toy.batch(6)
    other = {torch.int64: torch.arange(12, 18), torch.float32: F.normalize(torch.ones(6, 8), dim=1)}
    monkeypatch.setattr(bank, "gather", lambda rows: torch.cat([rows, other[rows.dtype]]))
    before = learner.bank.clone()
    learner.loss(learner.views(images, drawn()))
    torch.testing.assert_close(learner.bank[12:18], other[torch.float32])
    assert torch.equal(learner.bank[18:], before[18:])


@torch.no_grad()
def test_the_estimate_starts_at_its_value(tmp_path: Path) -> None:
    """Where no image is nearer than another, P = 1 / N: ln (1 + K) + K ln (1 + 1 / K), about ln K + 1."""
    learner = task(tmp_path, negatives=500)
    learner.bank.copy_(torch.full_like(learner.bank, 8**-0.5))
    for head in (learner.head, learner.whole):
        head.weight.zero_()
        head.bias.fill_(1.0)
    batch = learner.views(toy.batch(6), drawn())
    level = math.log(501) + 500 * math.log(501 / 500)
    assert float(learner.loss(batch).loss) == pytest.approx(level, rel=1e-4)
    assert learner.constants.tolist() == pytest.approx([24 * math.exp(10)] * 2, rel=1e-4)
    assert learner.chance(batch) == {}


def coded(count: int, side: int = 32) -> Images:
    """Images whose channels say row, column and image."""
    ramp = (torch.arange(side) + 0.5).view(1, -1, 1).expand(1, side, side) / side
    number = torch.arange(count).view(-1, 1, 1, 1).expand(count, 1, side, side) / count
    place = torch.cat([ramp, ramp.transpose(1, 2)])[None].expand(count, -1, -1, -1)
    return Images(torch.cat([place, number], dim=1), torch.arange(count), None)


def test_tiles_are_of_all_cells_in_every_order_and_mirrored_each_by_itself(tmp_path: Path) -> None:
    learner = task(tmp_path, tile_area=(0.99, 1.0), **PLAIN)
    tiles = learner.views(coded(200), drawn()).tiles
    assert tiles.shape == (200, 4, 3, 12, 12)
    middle = tiles.mean((3, 4))  # (B, T, 3)
    cells = (2 * (middle[..., 0] > 0.5).long() + (middle[..., 1] > 0.5).long()).tolist()
    assert {tuple(row) for row in cells} == set(itertools.permutations(range(4)))
    torch.testing.assert_close(
        middle[..., 2], torch.arange(200).view(-1, 1).expand(-1, 4) / 200, atol=1e-3, rtol=0
    )
    mirrored = tiles[:, :, 1, 0, 0] > tiles[:, :, 1, 0, -1]
    assert float(mirrored.float().mean()) == pytest.approx(0.5, abs=0.06)
    assert len({tuple(row) for row in mirrored.tolist()}) == 16
    assert len({round(float(x), 2) for x in middle[:, :, 0].flatten()}) > 8, "anywhere in their cells"


def test_colours_are_distorted_tile_by_tile(tmp_path: Path) -> None:
    learner = task(tmp_path, jitter=(0.9, 0.0, 0.0, 0.0), gray=0.0)
    images = coded(50)._replace(pixels=torch.full((50, 3, 32, 32), 0.4))
    levels = learner.views(images, drawn()).tiles.mean((2, 3, 4))
    assert bool((levels.amax(1) - levels.amin(1) > 0.01).float().mean() > 0.9)


def test_a_run_killed_in_its_second_epoch_goes_on_to_the_bit(tmp_path: Path) -> None:
    goes_on_to_the_bit(lambda: Pirl(toy.encoder("rgb"), grid=2, outputs=8, negatives=20), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": 1}, "grid from 2, outputs from 1 and negatives from 0, got 1, 8 and 0"),
        ({"temperature": 0.0}, "Pirl.temperature is positive, got 0.0"),
        ({"share": 1.0}, r"Pirl.momentum and Pirl.share are shares in .*, got 0.5 and 1.0"),
        ({"tile_area": (0.0, 1.0)}, r"Pirl.tile_area is two rising numbers in \(0, 1\]"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        task(tmp_path, **changes)


def test_a_tile_larger_than_its_cell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Pirl\.tile=17 does not fit in cells of 16 pixels"):
        task(tmp_path, tile=17).views(toy.batch(4), drawn())
