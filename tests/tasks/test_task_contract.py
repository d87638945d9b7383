"""What holds of every task that has a YAML, on a small network at 32 px."""

from __future__ import annotations

import functools
import inspect
import math
from pathlib import Path

import every
import pytest
import torch
import toy

from pretext.backbones import TokenBackbone
from pretext.data.loader import EpochLoader
from pretext.fit import Optimisation, check, load_task, save_task
from pretext.task import Images, Progress, Task
from pretext.tasks.random import Random


def prepared(name: str, folder: Path) -> Task:
    """The task before its first step."""
    task = every.build(name)
    loader = EpochLoader(toy.split(24, 5), 8, shuffle=False)
    task.prepare(loader, folder)
    task.eval()
    with torch.no_grad():
        task.before_epoch(loader, Progress(0, 10, 0.0))
    return task.train()


def images(task: Task) -> Images:
    plain = toy.batch(8)
    if not task.arguments.get("multilabel"):
        return plain
    return plain._replace(labels=torch.nn.functional.one_hot(plain.labels, toy.CLASSES).float())


def drawn(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", every.TRAINED)
def test_every_parameter_gets_a_finite_gradient(name: str, tmp_path: Path) -> None:
    """In the middle of a budget of one epoch, where what stands still at the start moves too."""
    task = prepared(name, tmp_path)
    task.loss(task.views(images(task), drawn())).loss.backward()
    task.before_step(Progress(50, 100, 0.5))
    for parameter, value in task.named_parameters():
        if not value.requires_grad:
            continue
        assert value.grad is not None, parameter
        assert bool(torch.isfinite(value.grad).all()), parameter
        assert bool((value.grad != 0).any()), parameter


@pytest.mark.parametrize("name", every.TRAINED)
def test_starts_at_its_chance_level(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path)
    batch = task.views(images(task), drawn())
    chance = task.chance(batch)
    logs = task.loss(batch).logs
    assert chance.keys() <= logs.keys()
    for log, level in chance.items():
        assert float(logs[log]) == pytest.approx(level, rel=0.05), log


@pytest.mark.parametrize("name", every.TRAINED)
def test_a_batch_of_one_image_such_as_the_last_of_val_has_finite_measures(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    one = Images(*(None if part is None else part[:1] for part in images(task)))
    batch = task.views(one, drawn())
    with torch.no_grad():
        logs = task.loss(batch).logs
    found = {**logs, **task.chance(batch), **task.blind(batch)}
    assert all(math.isfinite(float(value)) for value in found.values()), found


@pytest.mark.parametrize("name", every.TRAINED)
def test_the_best_answer_without_a_look_is_of_logs_and_finite(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    batch = task.views(images(task), drawn())
    with torch.no_grad():
        logs = task.loss(batch).logs
    levels = task.blind(batch)
    assert levels.keys() <= logs.keys()
    assert all(math.isfinite(level) for level in levels.values())


@pytest.mark.parametrize("name", every.TRAINED)
def test_the_least_batch_teaches_and_no_smaller_one_is_taken(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path)
    whole, count = images(task), task.least_batch
    few = Images(*(None if part is None else part[:count] for part in whole))
    task.loss(task.views(few, drawn())).loss.backward()
    gradients = [value.grad for value in task.parameters() if value.grad is not None]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(float(gradient.abs().max()) > 0 for gradient in gradients)
    if count > 1:
        sgd = Optimisation(functools.partial(torch.optim.SGD, lr=0.1))
        with pytest.raises(ValueError, match=f"{type(task).__name__} needs {count} images a step or more"):
            check(task, toy.split(24, 5), 1, None, count - 1, sgd)


FALLING = [name for name in every.TRAINED if name != "bigan"]
"""All but a game, whose players' losses rise and fall against each other."""


@pytest.mark.parametrize("name", FALLING)
def test_overfits_eight_images(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path)
    # The views of one draw, again and again; in training mode, since BatchNorm's averages lag behind.
    batch = task.views(images(task), drawn())
    lr = 3e-3 if issubclass(task.takes, TokenBackbone) else 1e-2  # transformers stay at chance above
    optimizer = torch.optim.Adam(task.param_groups(), lr=lr)
    excess = []
    for _ in range(60):
        optimizer.zero_grad()
        step = task.loss(batch)
        step.loss.backward()
        optimizer.step()
        # No cross-entropy is less than the entropy of its targets, which tasks of soft ones log.
        excess.append(step.loss.item() - float(step.logs.get("entropy", 0.0)))
    assert excess[-1] < 0.7 * excess[0]


@pytest.mark.parametrize("name", every.TRAINED)
def test_views_and_loss_are_functions_of_the_generator(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    losses = []
    for mode, seed in ((True, 1), (True, 1), (True, 2), (False, 1)):
        task.train(mode)
        batch = task.views(images(task), drawn(seed))
        losses.append(task.eval().loss(batch).loss.item())
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.parametrize("name", every.TRAINED)
def test_to_look_at_a_task_moves_nothing(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    before = {key: value.clone() for key, value in task.state_dict().items()}
    with torch.no_grad():
        batch = task.views(images(task), drawn())
        task.loss(batch), task.chance(batch), task.score(batch), task.show(images(task))
    for key, value in task.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", every.TRAINED)
def test_an_epoch_asks_for_images_of_the_split_and_parameters_of_the_task(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    loader = EpochLoader(toy.split(24, 5), 8, shuffle=False)
    with torch.no_grad():
        epoch = task.before_epoch(loader, Progress(3, 9, 1.0))
    EpochLoader(toy.split(24, 5), 8).set_weights(epoch.weights)  # checks them
    own = {id(parameter) for parameter in task.parameters()}
    assert all(id(parameter) in own for parameter in epoch.reset)


DRAWN = ("denoising", "bigan")
CROPPED = [
    n for n in every.TRAINED if n not in DRAWN and "padding" in inspect.signature(every.kind(n)).parameters
]
"""Tasks whose only draw beside what they are made of is a square."""


@pytest.mark.parametrize("name", CROPPED)
def test_a_random_square_is_for_training_alone(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    one, two = (task.loss(task.views(images(task), drawn(seed))).loss for seed in (1, 2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("name", [*every.NAMES, *every.OPTIONS])
def test_survives_saving_bit_for_bit(name: str, tmp_path: Path) -> None:
    task = every.build(name) if every.kind(name).untrained else prepared(name, tmp_path)
    with torch.no_grad():
        for value in task.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    task.eval()
    save_task(task, tmp_path / "saved")
    state = torch.random.get_rng_state()
    again = load_task(tmp_path / "saved")
    assert torch.equal(state, torch.random.get_rng_state())
    assert type(again) is type(task)
    assert again.arguments == task.arguments
    assert again.state_dict().keys() == task.state_dict().keys()
    for key, value in task.state_dict().items():
        assert key in task.transient or torch.equal(value, again.state_dict()[key]), key
    if not task.untrained and not task.transient:
        one, two = (t.loss(t.views(images(task), drawn())).loss for t in (task, again))
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", every.TRAINED)
def test_every_trained_parameter_is_in_one_group(name: str) -> None:
    task = every.build(name)
    grouped = [id(parameter) for group in task.param_groups() for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in task.parameters() if p.requires_grad)


USUAL = [n for n in every.TRAINED if every.kind(n).param_groups is Task.param_groups]


@pytest.mark.parametrize("name", USUAL)
def test_biases_and_norms_are_not_decayed(name: str) -> None:
    for group in every.build(name).param_groups():
        spared = {p.dim() <= 1 for p in group["params"]}
        assert spared == {group.get("weight_decay") == 0.0}


@pytest.mark.parametrize("name", every.TRAINED)
def test_measures_and_pictures_have_their_shapes(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    with torch.no_grad():
        scores = task.score(task.views(images(task), drawn()))
        shown = task.show(images(task))
    for total, weight in scores.values():
        assert total.shape == weight.shape == ()
        assert bool(torch.isfinite(total / weight))
    assert len({picture.shape for picture in shown.values()}) <= 1, "they lie in one sheet"
    for picture in shown.values():
        assert picture.dim() == 4
        assert picture.shape[1] == 3
        assert 0 <= float(picture.min()) <= float(picture.max()) <= 1


def test_random_has_nothing_to_train() -> None:
    task = Random(toy.encoder())
    assert task.untrained
    assert task.param_groups() == []
    with pytest.raises(RuntimeError, match="zero steps"):
        task.loss(task.views(toy.batch(), drawn()))
