"""What holds of every task, on a tiny network at 32 px."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toy

from pretext.data.loader import EpochLoader
from pretext.fit import load_task, save_task
from pretext.task import Images, Task
from pretext.tasks.autoencoder import Autoencoder
from pretext.tasks.colorization import Colorization
from pretext.tasks.colorization_l2 import ColorizationL2
from pretext.tasks.random import Random
from pretext.tasks.rotation import Rotation
from pretext.tasks.supervised import Supervised

TASKS: dict[str, Callable[[], Task]] = {
    "autoencoder": lambda: Autoencoder(toy.encoder(), hidden=16),
    "denoising": lambda: Autoencoder(toy.encoder("lab"), hidden=16, drop=0.5),
    "colorization": lambda: Colorization(toy.encoder(), hidden=16),
    "colorization_class": lambda: Colorization(toy.encoder(), hidden=16, rebalance=1.0, neighbours=10),
    "colorization_l2": lambda: ColorizationL2(toy.encoder(), hidden=16),
    "rotation": lambda: Rotation(toy.encoder()),
    "supervised": lambda: Supervised(toy.encoder(), toy.CLASSES, multilabel=False),
    "multilabel": lambda: Supervised(toy.encoder(), toy.CLASSES, multilabel=True),
}
"""All tasks that train; `random` does not."""


def prepared(name: str, folder: Path) -> Task:
    task = TASKS[name]()
    task.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), folder)
    return task


def images(name: str, count: int = 8) -> Images:
    plain = toy.batch(count)
    if name != "multilabel":
        return plain
    return plain._replace(labels=torch.nn.functional.one_hot(plain.labels, toy.CLASSES).float())


def drawn(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", TASKS)
def test_every_parameter_gets_a_finite_gradient(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path)
    task.loss(task.views(images(name), drawn())).loss.backward()
    for parameter, value in task.named_parameters():
        assert value.grad is not None, parameter
        assert bool(torch.isfinite(value.grad).all()), parameter
        assert bool((value.grad != 0).any()), parameter


@pytest.mark.parametrize("name", TASKS)
def test_starts_at_its_chance_level(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path)
    batch = task.views(images(name), drawn())
    chance = task.chance(batch)
    logs = task.loss(batch).logs
    assert chance.keys() <= logs.keys()
    for log, level in chance.items():
        assert float(logs[log]) == pytest.approx(level, rel=0.05), log


@pytest.mark.parametrize("name", TASKS)
def test_overfits_eight_images(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path)
    # The views of one draw, again and again; in training mode, since BatchNorm's averages lag behind.
    batch = task.views(images(name), drawn())
    optimizer = torch.optim.Adam(task.param_groups(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = task.loss(batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", TASKS)
def test_views_and_loss_are_functions_of_the_generator(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    losses = []
    for mode, seed in ((True, 1), (True, 1), (True, 2), (False, 1)):
        task.train(mode)
        batch = task.views(images(name), drawn(seed))
        losses.append(task.eval().loss(batch).loss.item())
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.parametrize("name", [n for n in TASKS if n != "denoising"])
def test_eval_views_do_not_augment(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    one, two = (task.loss(task.views(images(name), drawn(seed))).loss for seed in (1, 2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("name", [*TASKS, "random"])
def test_survives_saving_bit_for_bit(name: str, tmp_path: Path) -> None:
    task = Random(toy.encoder()) if name == "random" else prepared(name, tmp_path)
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
        assert torch.equal(value, again.state_dict()[key]), key
    if name != "random":
        one, two = (t.loss(t.views(images(name), drawn())).loss for t in (task, again))
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", TASKS)
def test_biases_and_norms_are_not_decayed(name: str) -> None:
    task = TASKS[name]()
    groups = task.param_groups()
    assert sum(len(g["params"]) for g in groups) == len(list(task.parameters()))
    for group in groups:
        spared = {p.dim() <= 1 for p in group["params"]}
        assert spared == {group.get("weight_decay") == 0.0}


@pytest.mark.parametrize("name", TASKS)
def test_measures_and_pictures_have_their_shapes(name: str, tmp_path: Path) -> None:
    task = prepared(name, tmp_path).eval()
    with torch.no_grad():
        scores = task.score(task.views(images(name), drawn()))
        shown = task.show(images(name))
    for total, weight in scores.values():
        assert total.shape == weight.shape == ()
        assert bool(torch.isfinite(total / weight))
    for picture in shown.values():
        assert picture.shape == (8, 3, 32, 32)
        assert 0 <= float(picture.min()) <= float(picture.max()) <= 1


def test_random_has_nothing_to_train() -> None:
    task = Random(toy.encoder())
    assert task.untrained
    assert task.param_groups() == []
    with pytest.raises(RuntimeError, match="zero steps"):
        task.loss(task.views(toy.batch(), drawn()))
