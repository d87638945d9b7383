"""What holds of every task that colours, as its YAML states it."""

from __future__ import annotations

from pathlib import Path

import every
import numpy as np
import pytest
import torch
import toy
from PIL import Image

from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Hints
from pretext.colorizers.photograph import colorize_file
from pretext.data.decode import decode_rgb
from pretext.data.loader import EpochLoader
from pretext.data.named_images import targets
from pretext.fit import load_task, save_task
from pretext.tasks.coloring import ColoringTask

COLORING = [name for name in every.TRAINED if issubclass(every.kind(name), ColoringTask)]


def colorizer(name: str) -> ColoringTask:
    """The task with colours to give, far from gray where it starts."""
    task = every.build(name)
    assert isinstance(task, ColoringTask)
    with torch.no_grad():
        for value in task.parameters():
            value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
    return task.eval()


def test_several_tasks_colour() -> None:
    assert {"colorization", "colorization_l2", "larsson", "iizuka", "dahl"} < set(COLORING)


@pytest.mark.parametrize("name", COLORING)
@pytest.mark.parametrize("size", [(32, 32), (37, 51), (1, 1)])
def test_any_size_is_coloured(name: str, size: tuple[int, int]) -> None:
    light = 100 * torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1))
    ab = colorizer(name).colorize(light)
    assert ab.shape == (2, 2, *size)
    assert bool(torch.isfinite(ab).all())
    assert float(ab.abs().max()) < 200


@pytest.mark.parametrize("name", COLORING)
def test_what_is_given_beside_an_image_changes_nothing(name: str) -> None:
    task = colorizer(name)
    light = 100 * torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    given = [Hints(references=(torch.rand(3, 8, 8),), label=i, mask=light[i, 0] > 50) for i in range(2)]
    assert torch.equal(task.colorize(light, given), task.colorize(light))


@pytest.mark.parametrize("name", COLORING)
def test_a_folder_is_coloured_by_a_saved_task(name: str, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "coloured"
    for seed, place in enumerate(("a.png", "sub/b.png")):
        pixels = np.random.default_rng(seed).integers(0, 255, (45, 70, 3), dtype=np.uint8)
        (photos / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(photos / place)
    save_task(colorizer(name), tmp_path / "run")
    task = load_task(tmp_path / "run")
    assert isinstance(task, ColoringTask)
    for file, target in targets(photos, out).items():
        colorize_file(task, file, target, 32, torch.device("cpu"))
        made = decode_rgb(target)
        assert made.shape == (45, 3 * 70 + 2 * 8, 3)
        assert np.array_equal(made[:, -70:], decode_rgb(file))
        assert np.ptp(made[:, 78:148].astype(int), axis=2).max() > 3, "there is colour in the middle"


@pytest.mark.parametrize("name", COLORING)
def test_its_colours_are_measured_against_the_images_own(name: str, tmp_path: Path) -> None:
    task = colorizer(name)
    task.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), tmp_path)
    images = toy.batch(8)
    batch = task.views(images, torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = task.score(batch)
        away = task.paint(batch.pixels) - rgb_to_lab(batch.pixels)[:, 1:]
    # The area under the share of pixels below each error up to 150 is one minus the mean of what is cut off.
    auc = 100 * (1 - away.norm(dim=1).clamp(max=150).mean() / 150)
    assert float(found["auc"][0] / found["auc"][1]) == pytest.approx(float(auc), abs=0.02)
    assert 0 < float(found["auc_balanced"][0] / found["auc_balanced"][1]) < 100
