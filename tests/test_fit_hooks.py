"""What the trainer calls of a task, when, in which state, and that a resumed run does the same."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from torch import Tensor, nn

from pretext.backbones import Backbone, SmallNet
from pretext.encoder import Encoder
from pretext.fit import Optimisation, Validation, load_task, pretrain, save_task
from pretext.fit.checkpoint import AtomicCheckpointIO
from pretext.fit.seeding import Stream, derive
from pretext.task import Epoch, Images, Loader, Progress, Step, Task
from pretext.tasks import rotation
from pretext.tasks.random import Random
from pretext.tasks.rotation import Rotation

IMAGES, BATCH = 40, 8
EACH = IMAGES // BATCH


class Clustering(Task):
    """Has all the hooks: targets and head anew by epoch, a bank, a layer frozen at first, a follower."""

    transient = ("targets",)
    targets: Tensor
    follower: Tensor

    def __init__(
        self, encoder: Encoder, groups: int = 3, freeze: float = 0.5, scale: tuple[int, ...] = (1, 2)
    ):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.stages[-1].channels, groups)
        self.fixed = nn.Linear(groups, groups)
        self.freeze = freeze
        self.register_buffer("targets", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("follower", torch.zeros(()))
        self.seen: list[tuple[Any, ...]] = []

    def prepare(self, loader: Loader, cache: Path) -> None:
        self.targets = torch.zeros(loader.images, dtype=torch.int64)

    def before_epoch(self, loader: Loader, progress: Progress) -> Epoch:
        batches = list(loader)
        means = torch.cat([images.pixels.mean(dim=(1, 2, 3)) for images in batches])
        noise = torch.rand(len(means)) * 0.2
        self.targets.copy_((means + noise).argsort().argsort() % 3)
        nn.init.normal_(self.head.weight, std=0.1)
        places = torch.cat([images.positions for images in batches])
        self.seen.append((self.training, torch.is_grad_enabled(), places.tolist(), progress))
        weights = torch.where(self.targets == 0, 3.0, 0.0)
        return Epoch(weights, (self.head.weight,))

    def before_step(self, progress: Progress) -> None:
        if progress.epoch < self.freeze:
            self.fixed.weight.grad = None

    def after_step(self, progress: Progress) -> None:
        self.follower.mul_(0.9).add_(self.head.weight.detach().mean())

    def views(self, images: Images, generator: torch.Generator) -> Images:
        return images

    def loss(self, batch: Images) -> Step:
        maps = self.encoder(batch.pixels).maps[self.encoder.stage_names[-1]]
        logits = self.fixed(self.head(maps.mean(dim=(2, 3))))
        loss = nn.functional.cross_entropy(logits, self.targets[batch.positions])
        return Step(loss, {})


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved tasks live in `pretext.tasks`."""
    monkeypatch.setattr(Clustering, "__module__", rotation.__name__)
    monkeypatch.setattr(rotation, "Clustering", Clustering, raising=False)


ADAMW = Optimisation(functools.partial(torch.optim.AdamW, lr=3e-3))


def fit(folder: Path, task: Task, epochs: int = 3, **changes: Any) -> None:
    settings = {
        "cache": folder.parent / "cache", "name": "toy", "seed": 0, "batch_size": BATCH,
        "optimisation": ADAMW,
        "device": "cpu", "validation": Validation(bank=0, pictures=2), "console": Console(file=io.StringIO()),
    }  # fmt: skip
    train, val = toy.split(IMAGES, 0), toy.split(8, 1, "val")
    pretrain(task, train, val, folder=folder, epochs=epochs, **{**settings, **changes})


class AtBatch(Callback):
    def __init__(self, act: Callable[[Any, int], None]) -> None:
        self._act = act

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._act(trainer, batch_idx)


def test_before_an_epoch_every_image_comes_once_in_order(tmp_path: Path) -> None:
    task = Clustering(toy.encoder())
    fit(tmp_path / "run", task)
    assert [progress for *_, progress in task.seen] == [
        Progress(n * EACH, 3 * EACH, float(n)) for n in range(3)
    ]
    for training, gradients, places, _ in task.seen:
        assert not training
        assert not gradients
        assert places == list(range(IMAGES))
    assert task.encoder.backbone.training is False  # as `pretrain` leaves every task


def test_weights_of_an_epoch_choose_its_images(tmp_path: Path) -> None:
    task = Clustering(toy.encoder())
    drawn: list[Tensor] = []
    original = task.loss

    def loss(batch: Images) -> Step:
        if task.training:
            drawn.append(task.targets[batch.positions])
        return original(batch)

    task.loss = loss  # type: ignore[method-assign]
    fit(tmp_path / "run", task)
    assert torch.cat(drawn).tolist() == [0] * (3 * IMAGES)  # the only group with weight


def test_a_head_drawn_anew_keeps_no_moments(tmp_path: Path) -> None:
    task = Clustering(toy.encoder())
    steps: list[tuple[float, float]] = []

    def look(trainer: Any, batch: int) -> None:
        state = trainer.optimizers[0].state
        if batch == 1:
            steps.append(tuple(float(state[p]["step"]) for p in (task.head.weight, task.head.bias)))

    fit(tmp_path / "run", task, callbacks=[AtBatch(look)])
    assert steps == [(1, 1), (1, 1 + EACH), (1, 1 + 2 * EACH)]


def test_gradients_can_be_withheld_before_a_step(tmp_path: Path) -> None:
    task = Clustering(toy.encoder(), freeze=1.0)
    first = task.fixed.weight.detach().clone()
    fixed: list[bool] = []
    fit(
        tmp_path / "run", task, epochs=2,
        callbacks=[AtBatch(lambda trainer, batch: fixed.append(torch.equal(task.fixed.weight, first)))],
    )  # fmt: skip
    assert fixed == [True] * (EACH + 1) + [False] * (EACH - 1)


@pytest.mark.parametrize("stop", [(1, 0), (2, 3)])
def test_a_run_that_was_stopped_between_its_epochs_goes_on_to_the_bit(
    stop: tuple[int, int], tmp_path: Path
) -> None:
    def die(trainer: Any, batch: int) -> None:
        if (trainer.current_epoch, batch) == stop:
            raise KeyError("pulled the plug")

    whole, broken = Clustering(toy.encoder()), Clustering(toy.encoder())
    fit(tmp_path / "whole", whole)
    with pytest.raises(KeyError):
        fit(tmp_path / "broken", broken, callbacks=[AtBatch(die)])
    torch.manual_seed(9)  # whatever state a new process is in
    again = Clustering(toy.encoder())
    fit(tmp_path / "broken", again)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_what_belongs_to_the_run_is_in_its_checkpoint_and_not_in_the_saved_task(tmp_path: Path) -> None:
    task, held = Clustering(toy.encoder()), []

    def look(trainer: Any, batch: int) -> None:
        if trainer.current_epoch == 2 and batch == 0:
            held.append(AtomicCheckpointIO().load_checkpoint(tmp_path / "run/last.ckpt")["state_dict"])

    fit(tmp_path / "run", task, callbacks=[AtBatch(look)])
    assert held[0]["task.targets"].shape == (IMAGES,)
    loaded = load_task(tmp_path / "run")
    assert isinstance(loaded, Clustering)
    assert loaded.targets.shape == (0,)
    assert torch.equal(loaded.follower, task.follower)
    assert float(task.follower) != 0


def test_a_misspelt_transient_buffer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clustering, "transient", ("target",))
    with pytest.raises(ValueError, match=r"Clustering\.transient names no buffer of it: target"):
        save_task(Clustering(toy.encoder()), tmp_path)


def test_arguments_are_kept_from_the_signature() -> None:
    assert Clustering(toy.encoder(), 4).arguments == {"groups": 4, "freeze": 0.5, "scale": [1, 2]}
    assert Random(toy.encoder()).arguments == {}

    class Turned(Rotation):
        """Has the constructor of what it is made of."""

    assert Turned(toy.encoder(), padding=2).arguments == {"crop": None, "padding": 2}


def test_a_run_is_known_again_whether_or_not_its_defaults_are_said(tmp_path: Path) -> None:
    made = fit(tmp_path / "run", Rotation(toy.encoder()), epochs=1)
    assert fit(tmp_path / "run", Rotation(toy.encoder(), crop=None, padding=4), epochs=1) == made
    with pytest.raises(ValueError, match=r"belongs to another run \(task: .*'padding': 2.* now"):
        fit(tmp_path / "run", Rotation(toy.encoder(), padding=2), epochs=1)


def test_another_network_than_a_task_takes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Backbone):
        """None is one."""

    monkeypatch.setattr(Rotation, "takes", Other)
    with pytest.raises(ValueError, match="Rotation takes a Other, and SmallNet is none"):
        fit(tmp_path / "run", Rotation(toy.encoder()))
    monkeypatch.setattr(Rotation, "takes", SmallNet)
    fit(tmp_path / "run", Rotation(toy.encoder()), epochs=1)


def test_a_task_starts_from_the_encoder_of_any_other_of_the_same_architecture() -> None:
    child, parent = Rotation(toy.encoder(seed=1)), Clustering(toy.encoder(seed=2))
    child.initialise_from(parent)
    for name, value in parent.encoder.state_dict().items():
        assert torch.equal(value, child.encoder.state_dict()[name])
    with pytest.raises(ValueError, match="starts from an encoder like its own"):
        child.initialise_from(Rotation(toy.encoder("rgb")))


def test_weight_decay_follows_its_schedule(tmp_path: Path) -> None:
    """From .1 to 1 by half a cosine; groups without stay without."""
    plan = Optimisation(functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1), decay_end=10.0)
    found: list[tuple[float, ...]] = []

    def look(trainer: Any, batch: int) -> None:
        found.append(tuple(group["weight_decay"] for group in trainer.optimizers[0].param_groups))

    fit(tmp_path / "run", Rotation(toy.encoder()), epochs=2, optimisation=plan, callbacks=[AtBatch(look)])
    used = [decay for decay, _ in found[1:]]  # as it was in the step before
    steps = np.arange(2 * EACH - 1) / (2 * EACH)
    assert used == pytest.approx(list(1 - 0.9 * (1 + np.cos(math.pi * steps)) / 2))
    assert {spared for _, spared in found} == {0.0}
    assert plan.decay(2 * EACH, 2 * EACH) == pytest.approx(10)


def test_processes_draw_different_numbers() -> None:
    seeds = {derive(0, Stream.VIEWS, 1, 2, rank) for rank in range(4)}
    assert len(seeds) == 4
    state = np.random.SeedSequence([0, int(Stream.VIEWS), 1, 2]).generate_state(1, np.uint64)
    assert derive(0, Stream.VIEWS, 1, 2, 0) == int(state[0] >> np.uint64(1))
