"""DenseCL: which cells are matched, what they are told from, and what enters which queue."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch import Tensor, nn
from torch.nn import functional as F
from toy_fit import goes_on_to_the_bit

from pretext.data.loader import EpochLoader
from pretext.encoder import Encoder
from pretext.task import Progress
from pretext.tasks import keys as shared
from pretext.tasks.densecl import DenseCL
from pretext.tasks.keys import Keyed
from pretext.tasks.rotation import Rotation


def task(encoder: Encoder | None = None, **changes: Any) -> DenseCL:
    small = {"blur": 0.0, "hidden": 16, "outputs": 8, "queue": 12, "splits": 1, "share": 0.25}
    torch.manual_seed(0)
    learner = DenseCL(encoder or toy.encoder("rgb"), **{**small, **changes})
    with torch.no_grad():
        for value in (*learner.teacher_head.parameters(), *learner.teacher_dense.parameters()):
            value.add_(0.1 * torch.randn_like(value))  # apart from the student
    return learner


def batch(learner: DenseCL, count: int = 6, seed: int = 1) -> Keyed:
    return learner.views(toy.batch(count), torch.Generator().manual_seed(seed))


def last_map(encoder: Encoder, pixels: Tensor) -> Tensor:
    found = encoder(pixels)
    return found.maps[encoder.stage_names[-1]]


def pooled_cells(learner: DenseCL, pixels: Tensor) -> Tensor:
    """Unit means of the teacher's cells."""
    dense = learner.teacher_dense(last_map(learner.teacher, pixels))
    return F.normalize(dense.mean((2, 3)), dim=1)


def nats(query: Tensor, key: Tensor, queue: Tensor) -> float:
    own = math.exp(float(query @ key) / 0.2)
    return -math.log(own / (own + sum(math.exp(float(query @ other) / 0.2) for other in queue)))


@pytest.mark.parametrize("cells", [None, 2])
@torch.no_grad()
def test_equals_a_loop_over_images_and_cells(cells: int | None) -> None:
    learner = task(cells=cells).eval()
    given = batch(learner)
    expected, hits, number = [0.0, 0.0], 0, 0
    for query, key in zip(*given.pixels, strict=True):
        maps = [last_map(net, x[None]) for net, x in ((learner.encoder, query), (learner.teacher, key))]
        heads = [learner.head, learner.teacher_head], [learner.dense, learner.teacher_dense]
        one, two = (F.normalize(h(m.mean((2, 3))), dim=1)[0] for h, m in zip(heads[0], maps, strict=True))
        expected[0] += nats(one, two, learner.queue) / 6
        if cells:
            maps = [F.avg_pool2d(m, 4 // cells) for m in maps]
        side = maps[0].shape[-1]
        assert side == (cells or 4)
        dense = [h(m)[0] for h, m in zip(heads[1], maps, strict=True)]
        places = [(i, j) for i in range(side) for j in range(side)]
        for i, j in places:
            ours = maps[0][0, :, i, j]
            likeness = [float(F.cosine_similarity(ours, maps[1][0, :, k, m], dim=0)) for k, m in places]
            k, m = places[likeness.index(max(likeness))]
            cell, other = F.normalize(dense[0][:, i, j], dim=0), F.normalize(dense[1][:, k, m], dim=0)
            expected[1] += nats(cell, other, learner.queue_cells) / 6 / side**2
            hits += float(cell @ other) > float((learner.queue_cells @ cell).max())
            number += 1
    step = learner.loss(given)
    assert float(step.loss) == pytest.approx(0.75 * expected[0] + 0.25 * expected[1], rel=1e-4)
    assert float(step.logs["accuracy_cells"]) == pytest.approx(hits / number)
    assert learner.chance(given)["loss"] == pytest.approx(math.log(13))


@torch.no_grad()
def test_keys_of_images_and_means_of_cells_enter_their_queues_behind_the_loss() -> None:
    learner = task()
    given = batch(learner)
    before = learner.queue.clone(), learner.queue_cells.clone()
    keys = F.normalize(learner.teacher_head(learner.teacher.vector(given.pixels[1])), dim=1)
    cells = pooled_cells(learner, given.pixels[1])
    learner.loss(given)
    for queue, old, new in zip((learner.queue, learner.queue_cells), before, (keys, cells), strict=True):
        torch.testing.assert_close(queue[:6], new, atol=1e-5, rtol=1e-4)
        assert torch.equal(queue[6:], old[:6])
    kept = learner.queue_cells.clone()
    learner.eval().loss(given)
    assert torch.equal(learner.queue_cells, kept)


@torch.no_grad()
def test_cells_are_matched_within_their_own_image() -> None:
    """Keys are encoded in another order: that of the cells is undone too (CoinCheung/DenseCL#1)."""
    learner = task().eval()
    given = batch(learner)
    straight, turned = (given._replace(order=o) for o in (torch.arange(6), torch.tensor([5, 0, 3, 1, 4, 2])))
    one, two = learner.loss(straight), learner.loss(turned)
    torch.testing.assert_close(one.loss, two.loss)
    assert torch.equal(one.logs["accuracy_cells"], two.logs["accuracy_cells"])


def test_no_gradient_goes_through_the_match_or_the_teacher() -> None:
    learner = task()
    learner.loss(batch(learner)).loss.backward()
    teachers: list[nn.Module] = [learner.teacher, learner.teacher_head, learner.teacher_dense]
    assert all(p.grad is None for net in teachers for p in net.parameters())
    assert all(p.grad is not None for p in learner.dense.parameters())


@torch.no_grad()
def test_both_queues_begin_with_keys_of_training_images(tmp_path: Path) -> None:
    learner = task()
    learner.prepare(EpochLoader(toy.split(24, 5), 24, shuffle=False), tmp_path)
    pixels = next(iter(EpochLoader(toy.split(24, 5), 24, shuffle=False).evenly_spaced(12))).pixels
    learner.teacher.train()
    torch.testing.assert_close(learner.queue_cells, pooled_cells(learner, pixels), atol=1e-5, rtol=1e-4)
    keys = F.normalize(learner.teacher_head(learner.teacher.vector(pixels)), dim=1)
    torch.testing.assert_close(learner.queue, keys, atol=1e-5, rtol=1e-4)


def test_keys_of_all_processes_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, other = task(), torch.ones(6, 8)
    monkeypatch.setattr(shared, "gather", lambda keys: torch.cat([keys, other]))
    learner.loss(batch(learner))
    assert torch.equal(learner.queue[6:], other)
    assert torch.equal(learner.queue_cells[6:], other)


def test_the_teacher_follows_with_both_heads_and_starts_from_another_task() -> None:
    learner, parent = task(momentum=0.75), Rotation(toy.encoder("rgb", seed=7))
    learner.initialise_from(parent)
    for network in (learner.encoder, learner.teacher):
        for name, value in network.state_dict().items():
            assert torch.equal(value, parent.encoder.state_dict()[name]), name
    pairs: list[tuple[nn.Module, nn.Module]] = [
        (learner.encoder, learner.teacher),
        (learner.head, learner.teacher_head),
        (learner.dense, learner.teacher_dense),
    ]
    with torch.no_grad():
        for student, _ in pairs:
            for value in student.parameters():
                value.add_(1)
    before = [[p.clone() for p in teacher.parameters()] for _, teacher in pairs]
    learner.after_step(Progress(10, 10, 1.0))
    for (student, teacher), old in zip(pairs, before, strict=True):
        for kept, own, now in zip(old, student.parameters(), teacher.parameters(), strict=True):
            torch.testing.assert_close(now, 0.75 * kept + 0.25 * own)


def test_a_run_killed_in_its_second_epoch_goes_on_to_the_bit(tmp_path: Path) -> None:
    goes_on_to_the_bit(task, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": 1}, "queue and splits from 1, and cells from 2 or None, got 16, 8, 12, 1, 1"),
        ({"temperature": 0.0}, "DenseCL.temperature is positive, got 0.0"),
        ({"momentum": 2.0}, r"DenseCL.momentum and DenseCL.share are shares in .*, got 2.0 and 0.25"),
        ({"share": 1.0}, r"got 0.999 and 1.0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)


def test_what_is_too_small_is_refused_before_training(tmp_path: Path) -> None:
    learner = task(splits=4)
    with pytest.raises(ValueError, match=r"DenseCL\.queue is 12, of only 11 images"):
        learner.check(11, 8)
    with pytest.raises(ValueError, match=r"DenseCL\.splits is 4 parts of two images or more, of 7"):
        learner.check(12, 7)
    tiny = EpochLoader(toy.split(12, 5, size=8), 8, shuffle=False)
    with pytest.raises(ValueError, match=r"DenseCL\.cells is 2 on a side or more, of a last map of 1×1"):
        task().prepare(tiny, tmp_path)
    with pytest.raises(ValueError, match=r"DenseCL\.cells is 5 on a side or more, of a last map of 4×4"):
        task(cells=5).prepare(EpochLoader(toy.split(12, 5), 8, shuffle=False), tmp_path)
