"""LeJEPA: SIGReg against its integral, and what the loss is made of."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import toy
from scipy.integrate import trapezoid

from pretext.tasks import lejepa
from pretext.tasks.lejepa import LeJepa, Several, sigreg


def task(**changes: Any) -> LeJepa:
    return LeJepa(toy.encoder("rgb"), **{"blur": 0.0, "hidden": 16, "outputs": 4, "slices": 8, **changes})


def drawn(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sigreg_is_its_integral_along_each_direction() -> None:
    vectors = torch.randn(9, 3, generator=drawn()).double()
    slices = torch.nn.functional.normalize(torch.randn(3, 5, generator=drawn(2)).double(), dim=0)
    total = 0.0
    for direction in slices.T:
        points = (vectors @ direction).tolist()
        knots = [3 * k / 16 for k in range(-16, 17)]  # both halves
        values = []
        for t in knots:
            phi = sum(complex(math.cos(t * x), math.sin(t * x)) for x in points) / 9
            normal = math.exp(-t * t / 2)
            values.append(abs(phi - normal) ** 2 * normal)
        total += 9 * float(trapezoid(values, knots)) / 5
    assert float(sigreg(vectors, slices)) == pytest.approx(total, rel=1e-6)


def test_known_levels() -> None:
    slices = torch.nn.functional.normalize(torch.randn(16, 64, generator=drawn()), dim=0)
    assert float(sigreg(torch.zeros(256, 16), slices)) == pytest.approx(0.402 * 256, rel=2e-3)
    levels = [float(sigreg(torch.randn(256, 16, generator=drawn(s)), slices)) for s in range(40)]
    assert sum(levels) / 40 == pytest.approx(1.052, abs=0.05)
    assert float(sigreg(3 * torch.randn(256, 16, generator=drawn()), slices)) > 20


@torch.no_grad()
def test_the_loss_weighs_agreement_and_sigreg_of_each_view() -> None:
    learner = task(weight=0.3).eval()
    batch = learner.views(toy.batch(6), drawn())
    assert batch.pixels.shape == (4, 6, 3, 32, 32)
    torch.testing.assert_close(batch.slices.norm(dim=0), torch.ones(8))
    views = [learner.projector(learner.encoder.vector(view)) for view in batch.pixels]
    centre = sum(views) / 4
    agreement = sum(float((view - centre).square().mean()) for view in views) / 4
    gaussian = sum(float(sigreg(view, batch.slices)) for view in views) / 4
    step = learner.loss(batch)
    assert float(step.loss) == pytest.approx(0.7 * agreement + 0.3 * gaussian, rel=1e-5)
    assert float(step.logs["sigreg"]) == pytest.approx(gaussian, rel=1e-5)


@torch.no_grad()
def test_sigreg_is_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = task(weight=1.0).eval()
    batch = learner.views(toy.batch(8), drawn())
    halves = [Several(batch.pixels[:, start : start + 4], batch.slices) for start in (0, 4)]
    kept: list[torch.Tensor] = []
    monkeypatch.setattr(lejepa, "gather", lambda rows: kept.append(rows) or rows)
    learner.loss(halves[1])
    monkeypatch.setattr(lejepa, "gather", lambda rows: torch.cat([rows, kept[0]]))
    found = learner.loss(halves[0]).loss
    monkeypatch.undo()
    torch.testing.assert_close(found, learner.loss(batch).loss)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 1}, "LeJepa takes count from 2, hidden, outputs and slices from 1, got 1, 16, 4, 8"),
        ({"weight": 1.5}, r"LeJepa.weight is a share in \[0, 1\], got 1.5"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)
