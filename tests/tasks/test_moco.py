"""MoCo: which keys count, in what order they are made, and what enters the queue when."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch import Tensor
from torch.nn import functional as F

from pretext.data.loader import EpochLoader
from pretext.task import Progress
from pretext.tasks import keys as shared
from pretext.tasks.keys import Keyed
from pretext.tasks.moco import MoCo
from pretext.tasks.rotation import Rotation


def task(**changes: Any) -> MoCo:
    small = {"blur": 0.0, "hidden": 16, "outputs": 8, "queue": 12, "splits": 1, "temperature": 0.2}
    return MoCo(toy.encoder("rgb"), **{**small, **changes})


def batch(learner: MoCo, count: int = 6, seed: int = 1) -> Keyed:
    return learner.views(toy.batch(count), torch.Generator().manual_seed(seed))


def keys_of(learner: MoCo, pixels: Tensor) -> Tensor:
    return F.normalize(learner.teacher_head(learner.teacher.vector(pixels)), dim=1)


@torch.no_grad()
def test_equals_a_loop_over_queries() -> None:
    learner = task().eval()
    for value in learner.teacher_head.parameters():  # apart from the student
        value.mul_(0.8)
    given = batch(learner)
    queries = F.normalize(learner.head(learner.encoder.vector(given.pixels[0])), dim=1).double()
    keys, total = keys_of(learner, given.pixels[1]).double(), 0.0
    for query, key in zip(queries, keys, strict=True):
        own = math.exp(float(query @ key) / 0.2)
        rest = sum(math.exp(float(query @ other) / 0.2) for other in learner.queue.double())
        total -= math.log(own / (own + rest)) / len(queries)
    assert float(learner.loss(given).loss) == pytest.approx(total, rel=1e-5)


@torch.no_grad()
def test_keys_enter_behind_the_loss_and_the_oldest_leave() -> None:
    learner = task()
    given = batch(learner)
    before, keys = learner.queue.clone(), keys_of(learner, given.pixels[1])
    learner.loss(given)
    torch.testing.assert_close(learner.queue[:6].sort(0).values, keys.sort(0).values)
    assert torch.equal(learner.queue[6:], before[:6])
    kept = learner.queue.clone()
    learner.eval().loss(given)
    assert torch.equal(learner.queue, kept)


@torch.no_grad()
def test_the_order_of_keys_says_whose_statistics_they_have_and_no_more() -> None:
    """In eval mode, nothing; in parts of two images, which key shares whose BatchNorm."""
    learner = task(splits=3)
    given = batch(learner)
    straight, turned = (given._replace(order=o) for o in (torch.arange(6), torch.tensor([5, 0, 3, 1, 4, 2])))
    learner.eval()
    torch.testing.assert_close(learner.loss(straight).loss, learner.loss(turned).loss)
    learner.train()
    queue = learner.queue.clone()
    one = float(learner.loss(straight).loss)
    learner.queue.copy_(queue)
    assert one != pytest.approx(float(learner.loss(turned).loss), rel=1e-6)


def test_parts_are_what_batchnorm_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, sizes = task(splits=3), []
    vector = learner.encoder.vector
    monkeypatch.setattr(learner.encoder, "vector", lambda pixels: sizes.append(len(pixels)) or vector(pixels))
    learner.loss(batch(learner))
    assert sizes == [2, 2, 2]
    learner.eval().loss(batch(learner))
    assert sizes[3:] == [6]


@torch.no_grad()
def test_the_queue_begins_with_keys_of_training_images(tmp_path: Path) -> None:
    learner = task()
    learner.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), tmp_path)
    given = batch(learner, 24)
    torch.testing.assert_close(learner.queue.norm(dim=1), torch.ones(12))
    # Of an untrained network's keys none is much closer than another, noise is.
    level = learner.chance(given)["loss"]
    assert level == pytest.approx(math.log(13))
    assert float(learner.loss(given).loss) == pytest.approx(level, rel=0.1)
    noise = task()
    assert float(noise.loss(given).loss) < 0.9 * level


def test_a_set_shorter_than_the_queue_and_parts_of_one_image_are_refused() -> None:
    learner = task(splits=4)
    learner.check(12, 8)
    with pytest.raises(ValueError, match=r"MoCo\.queue is 12, of only 11 images"):
        learner.check(11, 8)
    with pytest.raises(ValueError, match=r"MoCo\.splits is 4 parts of two images or more, of 7"):
        learner.check(12, 7)


def test_keys_of_all_processes_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, other = task(), torch.ones(6, 8)
    monkeypatch.setattr(shared, "gather", lambda keys: torch.cat([keys, other]))
    learner.loss(batch(learner))
    assert torch.equal(learner.queue[6:], other)


def test_the_teacher_follows_at_one_momentum_and_starts_from_another_task() -> None:
    learner, parent = task(momentum=0.75), Rotation(toy.encoder("rgb", seed=7))
    learner.initialise_from(parent)
    for network in (learner.encoder, learner.teacher):
        for name, value in network.state_dict().items():
            assert torch.equal(value, parent.encoder.state_dict()[name]), name
    with torch.no_grad():
        for value in learner.head.parameters():
            value.add_(1)
    before = [p.clone() for p in learner.teacher_head.parameters()]
    learner.after_step(Progress(10, 10, 1.0))
    for old, new in zip(before, learner.teacher_head.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


@torch.no_grad()
def test_symmetric_is_the_mean_of_both_ways_with_a_queue_for_the_keys_of_each() -> None:
    learner = task(symmetric=True)
    for value in learner.teacher_head.parameters():  # apart from the student
        value.mul_(0.8)
    given = batch(learner)
    queues = {name: learner.get_buffer(name).clone() for name in ("queue", "queue_first")}
    assert not torch.equal(*queues.values())
    ways, single = [], task()
    for pixels, name in ((given.pixels, "queue"), (given.pixels.flip(0), "queue_first")):
        single.load_state_dict({k: v for k, v in learner.state_dict().items() if k != "queue_first"})
        single.queue.copy_(queues[name])
        ways.append(float(single.loss(given._replace(pixels=pixels)).loss))
    assert ways[0] != pytest.approx(ways[1], rel=1e-4)
    assert float(learner.loss(given).loss) == pytest.approx(sum(ways) / 2, rel=1e-6)
    for view, name in ((1, "queue"), (0, "queue_first")):
        found = learner.get_buffer(name)
        entered = keys_of(learner, given.pixels[view])
        torch.testing.assert_close(found[:6].sort(0).values, entered.sort(0).values)
        assert torch.equal(found[6:], queues[name][:6])


def test_both_queues_begin_with_keys_of_training_images_and_belong_to_the_run(tmp_path: Path) -> None:
    learner = task(symmetric=True)
    learner.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), tmp_path)
    assert torch.equal(learner.queue, learner.get_buffer("queue_first"))
    assert learner.transient == ("queue", "queue_first")
    assert task().transient == ("queue",)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.5), (5, 0.7), (10, 0.9)])
def test_the_momentum_follows_a_cosine_to_its_last(step: int, rate: float) -> None:
    learner = task(momentum=0.5, last_momentum=0.9)
    with torch.no_grad():
        for value in learner.head.parameters():
            value.add_(1)
    before = [p.clone() for p in learner.teacher_head.parameters()]
    learner.after_step(Progress(step, 10, 1.0))
    for old, new in zip(before, learner.teacher_head.parameters(), strict=True):
        torch.testing.assert_close(new, old + 1 - rate)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last_momentum": -0.1}, r"MoCo.last_momentum is a share in \[0, 1\], got -0.1"),
        ({"queue": 0}, "outputs, queue and splits from 1, got 16, 8, 0, 1"),
        ({"temperature": 0.0}, "MoCo.temperature is positive, got 0.0"),
        ({"momentum": 2.0}, r"MoCo.momentum is a share in \[0, 1\], got 2.0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)
