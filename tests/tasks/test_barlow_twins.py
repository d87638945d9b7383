"""Barlow Twins and VICReg against sums over channels, and where they stand when all has become one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import toy
from torch import Tensor

from pretext.tasks import barlow_twins, vicreg
from pretext.tasks.barlow_twins import BarlowTwins, barlow
from pretext.tasks.vicreg import VICReg
from pretext.tasks.vicreg import vicreg as terms

N, D = 7, 4


def vectors(seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    one = torch.randn(N, D, generator=draw)
    return one, one + 0.5 * torch.randn(N, D, generator=draw)


def standardised(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()


def barlow_slow(one: list[list[float]], two: list[list[float]], weight: float) -> float:
    total = 0.0
    for i in range(D):
        for j in range(D):
            c = sum(a[i] * b[j] for a, b in zip(one, two, strict=True)) / N
            total += (1 - c) ** 2 if i == j else weight * c * c
    return total


def test_barlow_equals_sums_over_channels() -> None:
    one, two = map(standardised, vectors())
    expected = barlow_slow(one.double().tolist(), two.double().tolist(), 0.2)
    assert float(barlow(one, two, 0.2)) == pytest.approx(expected, rel=1e-5)
    assert float(barlow(torch.zeros(N, D), torch.zeros(N, D), 0.2)) == D
    whole = standardised(torch.linalg.qr(torch.randn(64, D, dtype=torch.float64) - 0.0)[0])
    assert float(barlow(whole, whole, 0.0)) == pytest.approx(0, abs=1e-4)


def vicreg_slow(one: list[list[float]], two: list[list[float]]) -> tuple[float, float, float]:
    invariance = sum((a - b) ** 2 for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))
    variance = covariance = 0.0
    for view in (one, two):
        mean = [sum(row[i] for row in view) / N for i in range(D)]
        for i in range(D):
            for j in range(D):
                c = sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in view) / (N - 1)
                if i == j:
                    variance += max(0.0, 1 - math.sqrt(c + 1e-4)) / D / 2
                else:
                    covariance += c * c / D
    return invariance / N / D, variance, covariance


def test_vicreg_equals_sums_over_channels() -> None:
    one, two = (0.7 * x for x in vectors())
    found = terms(one, two)
    expected = vicreg_slow(one.double().tolist(), two.double().tolist())
    assert [float(term) for term in found] == pytest.approx(expected, rel=1e-5)
    assert found.variance > 0


def barlow_task(**changes: Any) -> BarlowTwins:
    return BarlowTwins(toy.encoder("rgb"), **{"blur": (0.0, 0.0), "hidden": 16, **changes})


def vicreg_task(**changes: Any) -> VICReg:
    return VICReg(toy.encoder("rgb"), **{"blur": (0.0, 0.0), "hidden": 16, **changes})


def test_both_say_what_it_is_when_all_images_have_become_one() -> None:
    # As of the release's code: 25 · (1 − √1e-4).
    learner = vicreg_task()
    torch.nn.init.zeros_(learner.expander[-1].weight)
    batch = learner.views(toy.batch(6), torch.Generator().manual_seed(1))
    step = learner.loss(batch)
    assert step.loss.item() == pytest.approx(24.75)
    assert float(step.logs["projections_spread"]) == 0
    other = barlow_task()
    torch.nn.init.zeros_(other.projector[-1].weight)
    assert other.loss(batch).loss.item() == pytest.approx(16)


def test_the_weights_and_scales_are_those_that_are_said() -> None:
    plain, heavy = vicreg_task(), vicreg_task(invariance=1.0, variance=2.0, covariance=3.0)
    heavy.load_state_dict(plain.state_dict())
    batch = plain.eval().views(toy.batch(6), torch.Generator().manual_seed(1))
    logs = heavy.eval().loss(batch).logs
    weighed = logs["invariance"] + 2 * logs["variance"] + 3 * logs["covariance"]
    torch.testing.assert_close(logs["loss"], weighed)
    one, two = barlow_task().eval(), barlow_task(scale=0.1).eval()
    two.load_state_dict(one.state_dict())
    torch.testing.assert_close(two.loss(batch).loss, one.loss(batch).loss / 10)


@pytest.mark.parametrize("module", [barlow_twins, vicreg], ids=["barlow", "vicreg"])
def test_statistics_are_of_all_processes(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each process gathers is the other's rows behind its own: the loss is that of the whole batch."""
    learner: Any = barlow_task().eval() if module is barlow_twins else vicreg_task().eval()
    batch = learner.views(toy.batch(8), torch.Generator().manual_seed(1))
    whole = learner.loss(batch).loss
    halves = [batch._replace(pixels=batch.pixels[:, start : start + 4]) for start in (0, 4)]
    kept: list[Tensor] = []
    monkeypatch.setattr(module, "gather", lambda rows: kept.append(rows) or rows)
    learner.loss(halves[1])
    there = iter(list(kept))
    monkeypatch.setattr(module, "gather", lambda rows: torch.cat([rows, next(there)]))
    torch.testing.assert_close(learner.loss(halves[0]).loss, whole)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (barlow_task, {"hidden": 1}, "BarlowTwins.hidden is a number from 2, got 1"),
        (
            barlow_task,
            {"redundancy": 0.0},
            "positive redundancy and scale, got 0.0 and 1.0",
        ),
        (vicreg_task, {"variance": -1.0}, r"VICReg takes weights of terms from 0, got \(25.0, -1.0, 1.0\)"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)
