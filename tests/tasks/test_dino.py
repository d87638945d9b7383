"""DINO: what is compared with what, what stands still and when, and whom the teacher follows."""

from __future__ import annotations

import functools
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from toy_fit import At, die

from pretext.encoder import open_encoder
from pretext.fit import Optimisation, Validation, pretrain
from pretext.task import Progress
from pretext.tasks import dino
from pretext.tasks.dino import Dino
from pretext.tasks.large_and_small import Crops
from pretext.tasks.rotation import Rotation
from pretext.tasks.teacher import follow, momentum, teacher_of

SMALL: dict[str, Any] = {
    "small": 3, "blur": (0.0, 0.0, 0.0), "hidden": 16, "bottleneck": 8, "prototypes": 12,
}  # fmt: skip


def task(seed: int = 0, **changes: Any) -> Dino:
    return Dino(toy.encoder("rgb", seed=seed), **{**SMALL, **changes})


def crops(learner: Dino, count: int = 6, seed: int = 1) -> Crops:
    return learner.views(toy.batch(count), torch.Generator().manual_seed(seed))


def slow(learner: Dino, batch: Crops, centre: list[float]) -> float:
    """Two loops over views: every large one's answer against what is said of every other view."""
    views = [*batch.large, *batch.small]
    answers = [learner.teacher_head(learner.encoder.vector(view)).double() for view in batch.large]
    said = [learner.head(learner.student.vector(view)).double() for view in views]
    total, pairs = 0.0, 0
    for q, answer in enumerate(answers):
        for v, logits in enumerate(said):
            if q == v:
                continue
            pairs += 1
            for one, other in zip(answer.tolist(), logits.tolist(), strict=True):
                sharp = [math.exp((a - c) / 0.04) for a, c in zip(one, centre, strict=True)]
                soft = [math.exp(s / 0.1) for s in other]
                total -= sum(
                    a / sum(sharp) * math.log(s / sum(soft)) for a, s in zip(sharp, soft, strict=True)
                ) / len(answer)
    return total / pairs


@torch.no_grad()
def test_equals_two_loops_over_views() -> None:
    learner = task().eval()
    learner.centre.copy_(torch.linspace(-0.1, 0.1, 12))
    for value in learner.student.parameters():  # apart from its teacher
        value.mul_(1.1)
    batch = crops(learner)
    assert [part.shape for part in batch] == [(2, 6, 3, 32, 32), (3, 6, 3, 16, 16)]
    expected = slow(learner, batch, learner.centre.tolist())
    assert float(learner.loss(batch).loss) == pytest.approx(expected, rel=1e-5)
    alone = batch._replace(small=batch.small[:0])
    assert float(learner.loss(alone).loss) == pytest.approx(
        slow(learner, alone, learner.centre.tolist()), rel=1e-5
    )
    assert float(learner.loss(batch).loss) != pytest.approx(slow(learner, batch, [0.0] * 12), rel=1e-3)


def test_the_centre_is_the_first_batch_then_moves_behind_the_loss() -> None:
    learner = task(centre_momentum=0.75)
    first, second = crops(learner), crops(learner, seed=2)

    def mean(batch: Crops) -> torch.Tensor:
        return learner._teacher(batch).mean((0, 1))

    with torch.no_grad():
        one = mean(first)
        learner.loss(first)
        torch.testing.assert_close(learner.centre, one)
        loss, two = float(learner.loss(second).loss), mean(second)
        torch.testing.assert_close(learner.centre, 0.75 * one + 0.25 * two)
        learner.centre.copy_(one)
        assert float(learner.loss(second).loss) == pytest.approx(loss)


def test_teacher_follows_parameters_and_keeps_its_averages() -> None:
    student, other = toy.encoder("rgb", seed=0), toy.encoder("rgb", seed=1)
    teacher = teacher_of(student)
    assert not any(value.requires_grad for value in teacher.parameters())
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    other.backbone.apply(
        lambda m: setattr(m, "running_mean", m.running_mean + 1) if hasattr(m, "running_mean") else None
    )
    follow(teacher, other, 0.9)
    trained = dict(teacher.named_parameters())
    for name, value in teacher.state_dict().items():
        if name in trained:
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * other.state_dict()[name])
        else:
            assert torch.equal(value, before[name]), name


def test_momentum_is_a_cosine_to_one() -> None:
    assert momentum(0.9, Progress(0, 10, 0.0)) == pytest.approx(0.9)
    assert momentum(0.9, Progress(5, 10, 0.5)) == pytest.approx(0.95)
    assert momentum(0.9, Progress(10, 10, 1.0)) == 1


def test_after_a_step_both_follow() -> None:
    learner = task(momentum=0.5)
    with torch.no_grad():
        for value in (*learner.student.parameters(), *learner.head.parameters()):
            value.add_(1)
    before = [p.clone() for m in (learner.encoder, learner.teacher_head) for p in m.parameters()]
    learner.after_step(Progress(0, 10, 0.0))
    after = [p for m in (learner.encoder, learner.teacher_head) for p in m.parameters()]
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old + 0.5)


@pytest.mark.parametrize(("step", "moves"), [(9, False), (10, True)])
def test_prototypes_stand_still_in_the_first_steps(step: int, moves: bool) -> None:
    learner = task(frozen=0.1)
    optimizer = torch.optim.AdamW(learner.param_groups(), lr=0.1, weight_decay=0.1)
    before = learner.head.prototypes.detach().clone()
    learner.loss(crops(learner)).loss.backward()
    learner.before_step(Progress(step, 100, 0.0))
    optimizer.step()
    assert torch.equal(learner.head.prototypes, before) is not moves
    assert learner.head.layers[0].weight.grad is not None


def test_the_teachers_temperature_rises_with_the_steps() -> None:
    learner = task(first_temperature=0.04, teacher_temperature=0.08, warming=0.5)
    found = [1 / float(learner.sharpness)]
    for step in (25, 50, 75):
        learner.after_step(Progress(step, 100, 0.0))
        found.append(1 / float(learner.sharpness))
    assert found == pytest.approx([0.04, 0.06, 0.08, 0.08])
    still = task(first_temperature=0.04, teacher_temperature=0.08, warming=0.0)
    assert float(still.sharpness) == pytest.approx(1 / 0.08)


def test_starts_from_another_tasks_encoder_with_both() -> None:
    learner, parent = task(), Rotation(toy.encoder("rgb", seed=7))
    learner.initialise_from(parent)
    for network in (learner.encoder, learner.student):
        for name, value in network.state_dict().items():
            assert torch.equal(value, parent.encoder.state_dict()[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"area": (0.0, 1.0)}, r"Dino.area is two rising numbers in \(0, 1\]"),
        ({"blur": (0.0, 2.0, 0.0)}, r"Dino.blur is a probability in \[0, 1\], got 2.0"),
        ({"momentum": 1.5}, r"Dino.momentum is a probability in \[0, 1\], got 1.5"),
        ({"frozen": 1.5}, r"Dino.frozen is a probability in \[0, 1\], got 1.5"),
        ({"prototypes": 1}, "Dino.prototypes is a number from 2, got 1"),
        ({"teacher_temperature": 0.0}, "Dino.teacher_temperature is positive, got 0.0"),
        ({"small_crop": 0}, "Dino.small_crop is a number of pixels from 1, or None, got 0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)


def fit(folder: Path, learner: Dino, *callbacks: Callback) -> dict[str, float]:
    """Three short epochs; the measures of the last."""
    adam = Optimisation(functools.partial(torch.optim.AdamW, lr=0.002, weight_decay=0.04), decay_end=10)
    result = pretrain(
        learner, toy.split(24, 5), toy.split(10, 1, "val"), folder=folder, cache=folder,
        name="dino", seed=0, epochs=3, batch_size=8, optimisation=adam, device="cpu",
        validation=Validation(bank=0, pictures=2),
        callbacks=callbacks, console=Console(file=io.StringIO()),
    )  # fmt: skip
    # The teacher's two, the student's two, and three of half the side.
    assert result.views == 24 * 3 * (2 + 2 + 3 / 4)
    return {name: value for name, value in result.measures.items() if "second" not in name}


def test_a_killed_run_goes_on_to_the_bit_and_keeps_the_teacher(tmp_path: Path) -> None:
    whole, again = task(), task()
    measures = fit(tmp_path / "whole", whole)
    with pytest.raises(KeyError):
        fit(tmp_path / "broken", task(), At(1, 1, die))
    assert fit(tmp_path / "broken", again) == measures
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert measures["val/loss_chance"] == pytest.approx(math.log(12))
    kept = open_encoder(tmp_path / "whole").state_dict()
    student = whole.student.state_dict()
    for name, value in whole.encoder.named_parameters():
        assert torch.equal(kept[name], value), name
    assert any(not torch.equal(kept[name], student[name]) for name, _ in whole.encoder.named_parameters())


def test_the_centre_is_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = task(), task()
    batch = crops(one, 8)
    for learner in (one, other):
        learner.eval()  # a batch's own statistics are each process's affair
        learner.training = True  # the task alone: its centre moves
    one.loss(batch)
    halves = [Crops(*(part[:, start : start + 4] for part in batch)) for start in (0, 4)]
    with torch.no_grad():
        elsewhere = other._teacher(halves[1]).mean((0, 1))[None]
    monkeypatch.setattr(dino, "gather", lambda rows: torch.cat([rows, elsewhere]))
    other.loss(halves[0])
    torch.testing.assert_close(other.centre, one.centre)


def test_without_small_views_the_large_ones_say_what_each_other_say() -> None:
    learner = task(small=0)
    batch = learner.views(toy.batch(6), torch.Generator().manual_seed(0))
    assert len(batch.small) == 0
    assert math.isfinite(float(learner.loss(batch).logs["loss"]))
