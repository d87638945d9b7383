"""SwAV: codes of equal size, what is predicted from what, and when queue and prototypes begin to move."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import toy

from pretext.data.loader import EpochLoader
from pretext.task import Progress
from pretext.tasks import swav
from pretext.tasks.large_and_small import Crops
from pretext.tasks.swav import SwAV, sinkhorn


def task(**changes: Any) -> SwAV:
    small = {"small": 3, "blur": 0.0, "hidden": 16, "outputs": 8, "prototypes": 5, "queue": 0}
    return SwAV(toy.encoder("rgb"), **{**small, **changes})


def crops(learner: SwAV, count: int = 6, seed: int = 1) -> Crops:
    return learner.views(toy.batch(count), torch.Generator().manual_seed(seed))


def test_sinkhorn_shares_images_equally_among_prototypes() -> None:
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)).double()
    codes = sinkhorn(logits, 200)
    torch.testing.assert_close(codes.sum(1), torch.ones(12).double())
    torch.testing.assert_close(codes.sum(0), torch.full((4,), 3.0).double(), rtol=1e-4, atol=1e-4)
    # Scaling rows and columns is all that is done: cross ratios stay.
    ratio = codes[0, 0] * codes[1, 1] / codes[0, 1] / codes[1, 0]
    expected = (logits[0, 0] + logits[1, 1] - logits[0, 1] - logits[1, 0]).exp()
    torch.testing.assert_close(ratio, expected)


def test_one_round_by_hand() -> None:
    # e^0 = 1 and e^ln 3 = 3: columns first, [1/2, 3/4; 1/2, 1/4], then rows.
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    torch.testing.assert_close(sinkhorn(logits, 1), torch.tensor([[0.4, 0.6], [2 / 3, 1 / 3]]))


@torch.no_grad()
def test_equals_two_loops_over_views() -> None:
    learner = task().eval()
    batch = crops(learner)
    assert [part.shape for part in batch] == [(2, 6, 3, 32, 32), (3, 6, 3, 16, 16)]
    unit = torch.nn.functional.normalize
    scores = [
        unit(learner.head(learner.encoder.vector(view)), dim=1) @ unit(learner.prototypes, dim=1).T
        for view in [*batch.large, *batch.small]
    ]
    total = 0.0
    for q in range(2):
        code = sinkhorn(scores[q] / 0.05, 3)
        for v in range(5):
            if v != q:
                total -= float((code * (scores[v] / 0.1).log_softmax(1)).sum(1).mean()) / 8
    assert float(learner.loss(batch).loss) == pytest.approx(total, rel=1e-5)


def test_prototypes_stand_still_in_the_first_steps() -> None:
    learner = task(frozen=0.1)
    for step, moves in ((9, False), (10, True)):
        learner.zero_grad()
        learner.loss(crops(learner)).loss.backward()
        learner.before_step(Progress(step, 100, 0.5))
        assert (learner.prototypes.grad is not None) is moves


@torch.no_grad()
def test_the_queue_joins_in_once_it_is_full_from_its_epoch_on() -> None:
    learner, plain = task(queue=12, queue_from=2.0), task()
    same = {name: value for name, value in learner.state_dict().items() if name not in learner.transient}
    plain.load_state_dict(same, strict=False)
    loader = EpochLoader(toy.split(8, 0), 4, shuffle=False)
    batch = crops(learner)

    def losses(epoch: float) -> tuple[float, float]:
        learner.before_epoch(loader, Progress(0, 100, epoch))
        return float(learner.eval().loss(batch).loss), float(plain.eval().loss(batch).loss)

    assert len(set(losses(3.0))) == 1, "an empty queue says something"
    learner.train().loss(crops(learner, seed=2))
    first = learner.queue.clone()
    learner.loss(crops(learner, seed=3))
    assert torch.equal(learner.queue[:, 6:], first[:, :6])
    assert int(learner.filled) == 12
    plain.encoder.load_state_dict(learner.encoder.state_dict())  # BatchNorm's averages have moved
    plain.head.load_state_dict(learner.head.state_dict())
    assert len(set(losses(1.0))) == 1, "it joins before its epoch"
    joined, alone = losses(2.0)
    assert joined != pytest.approx(alone, rel=1e-4)


@torch.no_grad()
def test_codes_are_shared_among_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = task().eval()
    batch = crops(whole, 8)
    expected = whole.loss(batch).loss
    halves = [Crops(*(part[:, start : start + 4] for part in batch)) for start in (0, 4)]
    kept: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    for turn in range(2):
        monkeypatch.setattr(swav, "gather", lambda rows, turn=turn: kept[turn].append(rows) or rows)
        whole.loss(halves[turn])
    both = [torch.cat(pair) for pair in zip(kept[0], kept[1], strict=True)]
    found = []
    for turn in range(2):
        each = iter(both)
        monkeypatch.setattr(swav, "gather", lambda rows, each=each: next(each))
        monkeypatch.setattr(swav, "rank", lambda turn=turn: turn)
        found.append(whole.loss(halves[turn]).loss)
    torch.testing.assert_close((found[0] + found[1]) / 2, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prototypes": 1}, "SwAV.prototypes is a number from 2, got 1"),
        ({"small_crop": 0}, "SwAV.small_crop is a number from 1, got 0"),
        ({"epsilon": 0.0}, "SwAV takes positive temperature and epsilon, got 0.1 and 0.0"),
        ({"frozen": 2.0}, r"SwAV.frozen is a probability in \[0, 1\], got 2.0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)


def test_without_small_views_the_large_ones_say_what_each_other_say() -> None:
    learner = task(small=0)
    batch = learner.views(toy.batch(6), torch.Generator().manual_seed(0))
    assert len(batch.small) == 0
    assert math.isfinite(float(learner.loss(batch).logs["loss"]))
    assert set(learner.show(toy.batch(6))) == {"view 1", "view 2"}


def test_a_queue_is_no_longer_than_there_are_images() -> None:
    task(queue=16).check(16, 4)
    with pytest.raises(ValueError, match=r"SwAV\.queue is 16, of only 15 images"):
        task(queue=16).check(15, 4)
