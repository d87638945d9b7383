"""Warm-up, cosine, drops of the learning rate, and epochs of so many batches: what recipes need."""

from __future__ import annotations

import csv
import functools
import io
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from rich.console import Console

from pretext.fit import Optimisation, Pretrained, Validation, pretrain
from pretext.tasks.rotation import Rotation

SGD = functools.partial(torch.optim.SGD, lr=0.01)
ZHANG = ((0.45, 0.1), (0.9, 0.01))


def fit(folder: Path, **changes: Any) -> Pretrained:
    """A run on 40 toy images, 5 batches a pass."""
    settings = {
        "cache": folder.parent / "cache", "name": "toy", "seed": 0, "batch_size": 8, "epochs": 2,
        "optimisation": Optimisation(SGD), "device": "cpu", "validation": Validation(bank=0, pictures=2),
        "console": Console(file=io.StringIO()),
    }  # fmt: skip
    train, val = toy.split(40, 0), toy.split(8, 1, "val")
    return pretrain(Rotation(toy.encoder()), train, val, folder=folder, **{**settings, **changes})


def test_the_schedule_rises_linearly_and_falls_as_a_cosine() -> None:
    plan = Optimisation(torch.optim.SGD, warmup=0.2, floor=0.1)
    shares = [plan.share(step, 10) for step in range(11)]
    assert shares[:3] == [0.5, 1.0, 1.0]
    assert shares[6] == pytest.approx(0.55)  # half of the cosine: midway between peak and floor
    assert shares[10] == pytest.approx(0.1)
    assert shares[1:] == sorted(shares[1:], reverse=True)
    assert [Optimisation(torch.optim.SGD, warmup=0.0).share(0, 4)] == [1.0]


@pytest.mark.parametrize(
    "wrong", [{"warmup": 1.0}, {"warmup": -0.1}, {"floor": 2.0}, {"clip": 0.0}, {"accumulate": 0}]
)
def test_an_optimisation_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Optimisation.{next(iter(wrong))}"):
        Optimisation(torch.optim.SGD, **wrong)


def test_the_release_drops_by_ten_at_225k_and_450k_of_500k_iterations() -> None:
    plan = Optimisation(SGD, warmup=0.0, drops=ZHANG)
    places = (0, 224_999, 225_000, 449_999, 450_000, 499_999)
    assert [plan.share(step, 500_000) for step in places] == [1, 1, 0.1, 0.1, 0.01, 0.01]


def test_warm_up_comes_before_drops() -> None:
    plan = Optimisation(SGD, warmup=0.2, drops=((0.5, 0.3),))
    assert [plan.share(step, 10) for step in range(10)] == [0.5, 1, 1, 1, 1, *5 * [0.3]]


@pytest.mark.parametrize("drops", [((0.5, 0.1), (0.4, 0.01)), ((0.0, 0.1),), ((1.0, 0.1),), ((0.5, 0.0),)])
def test_drops_out_of_range_are_refused(drops: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"Optimisation\.drops"):
        Optimisation(SGD, drops=drops)


def test_a_plan_is_described_by_what_is_not_its_default() -> None:
    assert Optimisation(SGD).describe()["options"].keys() == {"optimizer"}
    assert Optimisation(SGD, drops=ZHANG).describe()["options"]["drops"] == [[0.45, 0.1], [0.9, 0.01]]


def test_an_epoch_of_so_many_batches(tmp_path: Path) -> None:
    plan = Optimisation(SGD, warmup=0.0, drops=((0.5, 0.1),), accumulate=2)
    result = fit(tmp_path / "run", epochs=4, epoch_batches=3, optimisation=plan)
    assert (result.epochs, result.steps, result.images_seen) == (4, 8, 96)
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [2, 4, 6, 8]
    # The rate is read after an epoch's last step, when the next step's is set.
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.01, 0.001, 0.001, 0.001])
    assert all(row["train/loss"] and row["val/loss"] for row in rows)
    with pytest.raises(ValueError, match=r"another run .*epoch_batches: 3 there, 2 now"):
        fit(tmp_path / "run", epochs=4, epoch_batches=2, optimisation=plan)


def test_more_batches_than_there_are_is_one_pass(tmp_path: Path) -> None:
    assert fit(tmp_path / "run", epochs=1, epoch_batches=99).steps == 5
    with pytest.raises(ValueError, match="epoch_batches must be at least 1, got 0"):
        fit(tmp_path / "other", epoch_batches=0)
    assert fit(tmp_path / "whole", epochs=1).identity["epoch_batches"] is None
