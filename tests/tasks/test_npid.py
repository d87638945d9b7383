"""NPID: the bank, what a view is told from, and the estimate against its formula."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch.nn import functional as F

from pretext.data.loader import EpochLoader
from pretext.tasks.npid import Npid


def task(folder: Path, **changes: Any) -> Npid:
    learner = Npid(toy.encoder("rgb"), **{"outputs": 8, "temperature": 0.1, "negatives": 0, **changes})
    learner.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), folder)
    return learner


def drawn(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def test_a_view_is_told_among_all_training_images(tmp_path: Path) -> None:
    learner = task(tmp_path)
    assert learner.bank.shape == (24, 8)
    torch.testing.assert_close(learner.bank.norm(dim=1), torch.ones(24))
    batch = learner.views(toy.batch(6), drawn())
    assert batch.pixels.shape[:2] == (1, 6)
    learner.eval()
    vectors = F.normalize(learner.head(learner.encoder.vector(batch.pixels[0])), dim=1).double()
    total = 0.0
    for vector, place in zip(vectors, batch.positions.tolist(), strict=True):
        weights = [math.exp(float(vector @ row) / 0.1) for row in learner.bank.double()]
        total -= math.log(weights[place] / sum(weights)) / 6
    assert float(learner.loss(batch).loss) == pytest.approx(total, rel=1e-5)
    assert learner.chance(batch)["loss"] == pytest.approx(math.log(24))


@torch.no_grad()
def test_the_bank_moves_behind_the_loss_at_its_images_alone(tmp_path: Path) -> None:
    learner = task(tmp_path, momentum=0.75)
    batch = learner.views(toy.batch(6), drawn())
    before = learner.bank.clone()
    new = F.normalize(learner.head(learner.encoder.vector(batch.pixels[0])), dim=1)
    learner.loss(batch)
    torch.testing.assert_close(learner.bank[:6], F.normalize(0.75 * before[:6] + 0.25 * new, dim=1))
    assert torch.equal(learner.bank[6:], before[6:])


@torch.no_grad()
def test_in_validation_one_view_is_told_by_another_of_its_batch(tmp_path: Path) -> None:
    learner = task(tmp_path).eval()
    batch = learner.views(toy.batch(6), drawn())
    one, two = (F.normalize(learner.head(learner.encoder.vector(view)), dim=1) for view in batch.pixels)
    expected = F.cross_entropy(one @ two.T / 0.1, torch.arange(6))
    torch.testing.assert_close(learner.loss(batch).loss, expected)
    assert learner.chance(batch)["loss"] == pytest.approx(math.log(6))


@torch.no_grad()
def test_the_estimate_is_its_formula(tmp_path: Path) -> None:
    learner = task(tmp_path, negatives=5)
    batch = learner.views(toy.batch(6), drawn())
    torch.manual_seed(3)
    chosen = torch.randint(24, (6, 5))
    bank = learner.bank.double()
    vectors = F.normalize(learner.head(learner.encoder.vector(batch.pixels[0])), dim=1).double()
    shares = [
        [math.exp(float(v @ bank[i]) / 0.1) for i in (place, *row)]
        for v, place, row in zip(vectors, batch.positions.tolist(), chosen.tolist(), strict=True)
    ]
    constant = sum(map(sum, shares)) / 36 * 24
    total = 0.0
    for own, *rest in shares:
        total -= math.log(own / constant / (own / constant + 5 / 24)) / 6
        total -= sum(math.log(5 / 24 / (s / constant + 5 / 24)) for s in rest) / 6
    torch.manual_seed(3)
    assert float(learner.loss(batch).loss) == pytest.approx(total, rel=1e-4)
    assert float(learner.constant) == pytest.approx(constant, rel=1e-4)
    learner.loss(learner.views(toy.batch(6), drawn(2)))
    assert float(learner.constant) == pytest.approx(constant, rel=1e-4), "it is set once"
    assert learner.chance(batch) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"negatives": -1}, "Npid takes outputs from 1 and negatives from 0, got 8 and -1"),
        ({"temperature": 0.0}, "Npid.temperature is positive, got 0.0"),
        ({"momentum": 1.0}, r"Npid.momentum is a share in \[0, 1\), got 1.0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        task(tmp_path, **changes)
