"""Tasks that ask where something was must not be told by how it was cut, sampled, stored or photographed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import toy
from torch import Tensor
from torch.nn import functional as F

from pretext.task import Images, Task
from pretext.tasks.context_prediction import ContextPrediction
from pretext.tasks.jigsaw import Jigsaw
from pretext.tasks.rotation import Rotation
from pretext.tasks.tiles import cut_tiles

SIDE, BATCH = 64, 16
Make = Callable[[torch.Generator], Tensor]


def noise(draw: torch.Generator) -> Tensor:
    """Every value by itself: such an image has no up, and none of its parts a place."""
    return torch.rand(BATCH, 3, SIDE, SIDE, generator=draw)


def accuracy(task: Task, make: Make, steps: int, asked: int = 40) -> float:
    """What a task says rightly of new images, after as many steps on others, all of one make."""
    draw = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(task.param_groups(), lr=3e-3)
    said = []
    for step in range(steps + asked):
        images = Images(make(draw), torch.arange(BATCH), None)
        task.train()
        if step >= steps:
            with torch.no_grad():
                said.append(float(task.loss(task.views(images, draw)).logs["accuracy"]))
            continue
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(task.views(images, draw)).loss)
        optimizer.step()
    return sum(said) / len(said)


def jigsaw(**options: float) -> Jigsaw:
    torch.manual_seed(0)
    return Jigsaw(toy.encoder("rgb"), permutations=8, hidden=32, dropout=0.0, **options)  # type: ignore[arg-type]


def context(**options: float) -> ContextPrediction:
    torch.manual_seed(0)
    return ContextPrediction(toy.encoder("rgb"), hidden=64, dropout=0.0, **options)  # type: ignore[arg-type]


def rotation() -> Rotation:
    torch.manual_seed(0)
    return Rotation(toy.encoder("rgb"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "chance", "answers"), [(jigsaw, 1 / 8, 1), (context, 1 / 8, 8), (rotation, 1 / 4, 4)]
)
def test_noise_teaches_nothing(build: Callable[[], Task], chance: float, answers: int) -> None:
    count = 40 * BATCH * answers
    found = accuracy(build(), noise, 300)
    assert abs(found - chance) < 4 * math.sqrt(chance * (1 - chance) / count)


def dispersed(draw: torch.Generator) -> Tensor:
    """Noise, smooth so that its resampling is not seen, through a lens that magnifies red more than blue."""
    plain = torch.rand(BATCH, 1, SIDE, SIDE, generator=draw)
    for _ in range(3):
        plain = F.avg_pool2d(F.pad(plain, (2, 2, 2, 2), "reflect"), 5, 1)
    plain = (0.5 + 4 * (plain - 0.5)).clamp(0, 1)
    planes = []
    for scale in (0.97, 1.0, 1.03):
        matrix = torch.tensor([[[scale, 0, 0], [0, scale, 0]]]).expand(BATCH, -1, -1)
        grid = F.affine_grid(matrix, list(plain.shape), align_corners=False)
        planes.append(F.grid_sample(plain, grid, align_corners=False, padding_mode="reflection"))
    return torch.cat(planes, 1)


@pytest.mark.slow
def test_the_dispersion_of_a_lens_tells_less_where_channels_lie_apart_and_colour_is_taken() -> None:
    told = accuracy(context(shift=0, gray=0.0), dispersed, 300)
    kept = accuracy(context(), dispersed, 300)
    assert told > 0.4
    assert kept < 0.25


def stored(draw: torch.Generator) -> Tensor:
    """Noise with the borders of blocks of eight pixels, as of a coarse JPEG."""
    image = noise(draw)
    image[:, :, ::8] = 1
    image[:, :, :, ::8] = 1
    return image


@pytest.mark.slow
def test_blocks_of_a_jpeg_tell_no_place_where_tiles_are_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = accuracy(context(shift=0), stored, 300)
    monkeypatch.setattr("pretext.tasks.context_prediction.cut_tiles", fixed)
    told = accuracy(context(shift=0), stored, 300)
    assert told > 0.4
    assert kept < 0.25


def fixed(pixels: Tensor, grid: int, size: int, draw: torch.Generator, **_: object) -> Tensor:
    """Tiles from the middle of their cells."""
    return cut_tiles(pixels, grid, size, draw, augment=False)


def lit(draw: torch.Generator) -> Tensor:
    """Noise that is brighter above."""
    return noise(draw) / 2 + torch.linspace(0.5, 0, SIDE).view(1, 1, -1, 1)


@pytest.mark.slow
def test_a_mirror_image_is_turned_and_no_turned_image_mirrored() -> None:
    """A mirror behind the turn would exchange a quarter to the left and one to the right: 75 % at most."""
    assert accuracy(rotation(), lit, 100) > 0.95


def test_turned_images_have_the_pixels_of_the_square_that_was_turned() -> None:
    """Nothing is resampled, and no border comes in, by which a turn could be told."""
    task = rotation().eval()
    images = Images(noise(torch.Generator().manual_seed(0)), torch.arange(BATCH), None)
    turned = task.views(images, torch.Generator().manual_seed(0)).pixels.view(4, BATCH, 3, -1)
    values = turned.sort(-1).values
    assert torch.equal(values, values[:1].expand_as(values))
    assert len({tuple(x.flatten().tolist()) for x in turned[:, 0]}) == 4
