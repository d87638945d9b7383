"""NT-Xent against two loops over views, against lightly where it is installed, and across processes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from pretext.gather import gather, processes, rank
from pretext.tasks.ntxent import chance, nt_xent

TAU = 0.5


def projections(count: int = 6, width: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    one = torch.randn(count, width, generator=draw)
    return one, one + 0.7 * torch.randn(count, width, generator=draw)


def slow(one: Tensor, two: Tensor, temperature: float) -> float:
    views = torch.cat((one, two)).double().tolist()
    count = len(views)

    def alike(i: int, j: int) -> float:
        dot = sum(a * b for a, b in zip(views[i], views[j], strict=True))
        return math.exp(dot / math.hypot(*views[i]) / math.hypot(*views[j]) / temperature)

    total = 0.0
    for i in range(count):
        partner = (i + count // 2) % count
        total -= math.log(alike(i, partner) / sum(alike(i, k) for k in range(count) if k != i))
    return total / count


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_equals_two_loops_over_views(temperature: float) -> None:
    one, two = projections()
    assert float(nt_xent(one, two, temperature).loss) == pytest.approx(slow(one, two, temperature), rel=1e-5)
    assert float(nt_xent(one, two, temperature).loss) != pytest.approx(slow(one, two, 0.3), rel=1e-2)


def test_equals_lightlys() -> None:
    lightly = pytest.importorskip("lightly.loss", reason="lightly is not installed")
    one, two = projections(32, 16)
    assert float(nt_xent(one, two, TAU).loss) == pytest.approx(
        float(lightly.NTXentLoss(TAU)(one, two)), rel=1e-5
    )


def test_order_of_images_views_and_length_of_projections_do_not_matter() -> None:
    one, two = projections()
    loss = nt_xent(one, two, TAU).loss
    mixed = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(nt_xent(one[mixed], two[mixed], TAU).loss, loss)
    torch.testing.assert_close(nt_xent(two, one, TAU).loss, loss)
    torch.testing.assert_close(nt_xent(3 * one, 0.1 * two, TAU).loss, loss)
    torch.testing.assert_close(
        nt_xent(torch.cat((one[:3], two[3:])), torch.cat((two[:3], one[3:])), TAU).loss, loss
    )
    assert float(nt_xent(one, two.roll(1, 0), TAU).loss) > float(loss) + 0.5, "another image is no partner"


def test_known_values() -> None:
    same = torch.ones(4, 3)
    assert float(nt_xent(same, same, TAU).loss) == pytest.approx(math.log(7))
    assert chance(4) == pytest.approx(math.log(7))
    apart = torch.eye(4)
    found = nt_xent(apart, apart, TAU)
    assert float(found.loss) == pytest.approx(math.log(1 + 6 * math.exp(-1 / TAU)))
    assert float(found.accuracy) == 1
    assert float(nt_xent(apart, apart.roll(1, 0), TAU).accuracy) == 0


def test_half_precision_around_it_changes_nothing() -> None:
    one, two = projections()
    with torch.autocast("cpu", torch.bfloat16):
        cast = nt_xent(one, two, TAU).loss
    assert torch.equal(cast, nt_xent(one, two, TAU).loss)


def test_what_does_not_pair_is_refused() -> None:
    one, two = projections()
    with pytest.raises(ValueError, match="positive temperature, got 0"):
        nt_xent(one, two, 0)
    with pytest.raises(ValueError, match=r"two views of each image, got \(6, 5\), \(5, 5\)"):
        nt_xent(one, two[:5], TAU)


def test_one_process_gathers_what_it_has() -> None:
    rows = torch.rand(3, 2)
    assert gather(rows) is rows
    assert (processes(), rank()) == (1, 0)


def network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(5, 4)


def half(turn: int, folder: Path) -> None:
    """What one of two processes does: its images' loss, its gradient averaged over both."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=turn, world_size=2)
    net, mine = network(), slice(3 * turn, 3 * turn + 3)
    one, two = (net(view[mine]) for view in projections())
    loss = nt_xent(one, two, TAU).loss
    loss.backward()
    assert net.weight.grad is not None
    total = net.weight.grad.clone()
    dist.all_reduce(total)
    rows = torch.arange(2 * turn, 2 * turn + 2)
    found = {
        "loss": loss.detach(),
        "grad": total / 2,
        "rows": gather(rows),
        "chance": torch.tensor(chance(3)),
    }
    torch.save(found, folder / f"{turn}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_are_one_on_the_whole_batch(tmp_path: Path) -> None:
    mp.spawn(half, (tmp_path,), nprocs=2)  # type: ignore[attr-defined]
    halves = [torch.load(tmp_path / f"{turn}.pt") for turn in range(2)]
    net = network()
    whole = nt_xent(*(net(view) for view in projections()), TAU).loss
    whole.backward()
    assert float(halves[0]["loss"]) != float(halves[1]["loss"])
    torch.testing.assert_close((halves[0]["loss"] + halves[1]["loss"]) / 2, whole.detach())
    for found in halves:
        torch.testing.assert_close(found["grad"], net.weight.grad)
        assert found["rows"].tolist() == [0, 1, 2, 3]
        assert float(found["chance"]) == pytest.approx(math.log(11))
