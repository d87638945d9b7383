"""What a step and an epoch of pretraining are means over, and which digests a change of it moves."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from rich.console import Console

from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader
from pretext.fit import Optimisation, Pretrained, Validation, load_task, pretrain
from pretext.spacing import evenly_spaced
from pretext.task import Step, Task
from pretext.tasks import autoencoder
from pretext.tasks.autoencoder import Autoencoder
from pretext.tasks.colorization import Colorization
from pretext.tasks.colorization_l2 import ColorizationL2
from pretext.tasks.rotation import Rotation

COLOURING: dict[str, Callable[[], Task]] = {
    "colorization": lambda: Colorization(toy.encoder(), hidden=16),
    "colorization_l2": lambda: ColorizationL2(toy.encoder(), hidden=16),
}


def fit(folder: Path, task: Task, train: Split, val: Split, **changes: Any) -> Pretrained:
    settings = {
        "cache": folder, "name": "toy", "seed": 0, "epochs": 1, "batch_size": 8, "device": "cpu",
        "validation": Validation(bank=0, pictures=2), "console": Console(file=io.StringIO()),
        "optimisation": Optimisation(functools.partial(torch.optim.SGD, lr=1e-3)),
    }  # fmt: skip
    return pretrain(task, train, val, folder=folder / "run", **{**settings, **changes})


def mostly_gray() -> Split:
    """16 images: the first batch of 8 coloured, of the second only one."""
    pixels = toy.stripes(16, 3)[0]
    pixels[9:] = pixels[9:].mean(axis=-1, keepdims=True).round()
    return Split("val", pixels, "mostly-gray")


@pytest.mark.parametrize(("accumulate", "moved"), [(1, 15.0), (2, 10.0), (3, 6.5), (8, 3.0)])
def test_a_short_last_step_is_the_mean_over_its_own_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int, moved: float
) -> None:
    calls = 0

    def loss(self: Rotation, batch: Any) -> Step:
        nonlocal calls
        calls += self.training
        return Step(calls * self.head.bias.sum(), {})

    monkeypatch.setattr(Rotation, "loss", loss)
    plan = Optimisation(
        functools.partial(torch.optim.SGD, lr=1.0), warmup=0.0, floor=1.0, accumulate=accumulate
    )
    task = Rotation(toy.encoder())
    # Five batches with gradients 1 to 5: 1 + 2 + 3 + 4 + 5, 3/2 + 7/2 + 5, 6/3 + 9/2, 15/5.
    fit(tmp_path, task, toy.split(40, 0), toy.split(8, 1, "val"), optimisation=plan)
    torch.testing.assert_close(task.head.bias.detach(), torch.full((4,), -moved))


@pytest.mark.parametrize("name", COLOURING)
def test_losses_on_val_are_means_over_coloured_images(name: str, tmp_path: Path) -> None:
    val = mostly_gray()
    found = fit(tmp_path, COLOURING[name](), toy.split(24, 0), val, epochs=0).measures
    task = load_task(tmp_path / "run").eval()
    with torch.no_grad():
        batch = task.views(next(iter(EpochLoader(val, 16, shuffle=False))), torch.Generator())
        at_once = task.loss(batch)
    assert int(batch.counts.sum()) == 9
    for log, value in at_once.logs.items():
        assert found[f"val/{log}"] == pytest.approx(float(value), rel=1e-5), log
    for log, level in task.chance(batch).items():
        assert found[f"val/{log}_chance"] == pytest.approx(level, rel=1e-5), log


@pytest.mark.parametrize("name", COLOURING)
def test_losses_on_train_are_means_over_coloured_images(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = COLOURING[name]()
    right, seen = type(task).loss, []

    def watched(self: Task, batch: Any) -> Step:
        step = right(self, batch)
        if self.training:
            seen.append((float(step.loss.detach()), int(batch.counts.sum())))
        return step

    monkeypatch.setattr(type(task), "loss", watched)
    found = fit(tmp_path, task, mostly_gray(), toy.split(8, 1, "val")).measures["train/loss"]
    (first, one), (second, other) = seen
    assert one + other == 9
    assert one != other
    assert found == pytest.approx((one * first + other * second) / 9, rel=1e-5)


def test_the_autoencoder_standardises_by_images_of_all_parts_of_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "STATISTICS_IMAGES", 10)
    levels = np.sort(np.random.default_rng(0).integers(20, 235, 101)).astype(np.uint8)  # by class, as folders
    pixels = np.broadcast_to(levels[:, None, None, None], (101, 32, 32, 3)).copy()
    task = Autoencoder(toy.encoder("gray"), hidden=16)
    task.prepare(EpochLoader(Split("train", pixels, "levels"), 8, shuffle=False), tmp_path)
    with torch.no_grad():
        few = (
            torch.from_numpy(levels[evenly_spaced(101, 10)] / 255)
            .float()
            .view(-1, 1, 1, 1)
            .expand(-1, 3, 1, 1)
        )
        seen = task.encoder.input(few).double()
    assert float(task.mean) == pytest.approx(float(seen.mean()), rel=1e-5)
    assert float(task.std) == pytest.approx(float(seen.std(correction=0)), rel=1e-5)


@pytest.mark.parametrize("count", [3, 10, 1000])
def test_a_loader_gives_evenly_spaced_images_in_order(count: int) -> None:
    loader = EpochLoader(toy.split(24, 0), 5, indices=np.arange(2, 24), shuffle=True)
    taken = torch.cat([images.positions for images in loader.evenly_spaced(count)]).numpy()
    np.testing.assert_array_equal(taken, 2 + evenly_spaced(22, count))
