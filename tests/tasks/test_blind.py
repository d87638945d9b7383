"""What the best answer costs that is the same for all images: against worlds whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import every
import pytest
import torch
import toy
from torch import Tensor, nn

from pretext.data.loader import EpochLoader
from pretext.task import Images
from pretext.tasks import blind
from pretext.tasks.multi import Multi


def test_one_number_an_image_costs_its_variance_however_few_images_tell() -> None:
    draw = torch.Generator().manual_seed(0)
    for count in (2, 4, 16):
        found = []
        for _ in range(4000):
            values = 3 + 2 * torch.randn(count, generator=draw)
            cost = lambda answers, values=values: (answers - values).square().mean()  # noqa: E731
            found.append(blind.level(values, cost)["loss"])
        # The batch's own mean costs 4 · (1 − 1/n), that of the others 4 · n / (n − 1).
        expected = 2 * ((count - 1) / count + count / (count - 1))
        assert sum(found) / len(found) == pytest.approx(expected, rel=0.05)


def test_shares_cost_their_entropy() -> None:
    draw = torch.Generator().manual_seed(0)
    truth = torch.tensor([0.5, 0.25, 0.125, 0.125])
    found = []
    for _ in range(500):
        shares = nn.functional.one_hot(torch.multinomial(truth, 64, True, generator=draw), 4).float()

        def cost(answers: Tensor, shares: Tensor = shares) -> Tensor:
            return -(shares * blind.smoothed(answers, len(shares)).log()).sum(1).mean()

        found.append(blind.level(shares, cost)["loss"])
    assert sum(found) / len(found) == pytest.approx(1.75 * math.log(2), rel=0.01)


def test_images_that_do_not_count_tell_nothing_and_one_alone_has_no_level() -> None:
    values = torch.tensor([1.0, 3.0, math.nan])
    counts = torch.tensor([True, True, False])
    asked = []

    def cost(answers: Tensor) -> Tensor:
        asked.append(answers[counts].tolist())
        return answers[counts].sum()

    assert blind.level(values, cost, counts) == {"loss": 4.0}
    assert asked == [[2.0, 2.0], [3.0, 1.0]]  # the mean of both, then of the other
    assert blind.level(values, cost, torch.tensor([True, False, False])) == {}
    assert blind.level(values[:1], cost) == {}


@pytest.mark.parametrize(
    "name",
    ["colorization", "colorization_l2", "dahl", "iizuka", "larsson", "split_brain", "multilabel"],
)
def test_a_network_that_is_shown_nothing_learns_to_cost_that_much(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = every.build(name)
    task.prepare(EpochLoader(toy.split(96, 5), 16, shuffle=False), tmp_path)
    task.eval()  # no dropout, and BatchNorm that does not look at the batch
    batch = task.views(_labelled(toy.batch(96, 5), name), torch.Generator().manual_seed(0))
    seen = task.encoder.input.forward
    task.encoder.input.forward = lambda rgb: torch.zeros_like(seen(rgb))  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(task.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss = task.loss(batch).loss
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) == pytest.approx(task.blind(batch)["loss"], rel=0.02)


def _labelled(images: Images, name: str) -> Images:
    several = nn.functional.one_hot(images.labels, toy.CLASSES).float() if name == "multilabel" else None
    return images if several is None else images._replace(labels=several)


def test_i_jepa_asks_what_the_mean_vector_costs() -> None:
    task = every.build("ijepa").eval()
    batch = task.views(toy.batch(16), torch.Generator().manual_seed(0))
    wanted = task._wanted(batch)
    best = nn.Parameter(torch.zeros(wanted.shape[-1]))
    optimizer = torch.optim.Adam([best], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.smooth_l1_loss(best.expand_as(wanted), wanted)
        loss.backward()
        optimizer.step()
    assert task.blind(batch)["loss"] == pytest.approx(float(loss.detach()), rel=0.1)


@pytest.mark.parametrize("name", ["vicreg", "barlow_twins", "lejepa"])
def test_projections_that_are_all_the_same_cost_that_much(name: str) -> None:
    task = every.build(name)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.zero_()
    batch = task.views(toy.batch(16), torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = float(task.loss(batch).loss)
    assert task.blind(batch)["loss"] == pytest.approx(loss, rel=1e-4)


def test_several_tasks_at_once_are_at_the_sum_of_the_lower_levels(tmp_path: Path) -> None:
    parts = {
        "rotation": {"_target_": "pretext.tasks.rotation.Rotation"},
        "l2": {"_target_": "pretext.tasks.colorization_l2.ColorizationL2", "hidden": 4},
    }
    encoder = every.build("colorization_l2").encoder
    task = Multi(encoder, parts, {"l2": 3.0})
    task.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), tmp_path)
    batch = task.views(toy.batch(16), torch.Generator().manual_seed(0))
    found, chance = task.blind(batch), task.chance(batch)
    lower = min(found["l2/loss"], chance["l2/loss"])
    assert found["loss"] == pytest.approx(math.log(4) + 3 * lower)
    assert "rotation/loss" not in found  # a guess among turns is all there is
    alone = Multi(
        encoder, {"l2": parts["l2"], "vicreg": {"_target_": "pretext.tasks.vicreg.VICReg", "hidden": 8}}
    )
    assert "loss" in alone.blind(alone.views(toy.batch(16), torch.Generator().manual_seed(0)))
    unknown = Multi(
        encoder, {"l2": parts["l2"], "simsiam": {"_target_": "pretext.tasks.simsiam.SimSiam", "hidden": 8}}
    )
    assert "loss" not in unknown.blind(unknown.views(toy.batch(16), torch.Generator().manual_seed(0)))
