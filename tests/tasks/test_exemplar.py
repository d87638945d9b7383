"""Exemplar: which images are seeds, what a view shows, what is asked in training and in validation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from torch import Tensor
from toy_fit import goes_on_to_the_bit

from pretext import views
from pretext.data.loader import EpochLoader
from pretext.spacing import evenly_spaced
from pretext.task import Images, Progress
from pretext.tasks import exemplar
from pretext.tasks.exemplar import Exemplar, rich_places

STILL: dict[str, Any] = {
    "shift": 0.0, "scale": (1.0, 1.0), "turn": 0.0, "contrast": 1.0, "power": 1.0, "hue": 0.0,
}  # fmt: skip


def task(folder: Path, **changes: Any) -> Exemplar:
    learner = Exemplar(toy.encoder("rgb"), **{"seeds": 10, "hidden": 8, "dropout": 0.0, **changes})
    torch.manual_seed(4)
    learner.prepare(loader(), folder)
    return learner


def loader() -> EpochLoader:
    return EpochLoader(toy.split(24, 5), 8, shuffle=False, drop_last=False)


def seeds() -> Images:
    """The seed images of a task, as a step gets them."""
    at = torch.from_numpy(evenly_spaced(24, 10))
    images = toy.batch(24, 5)
    return Images(images.pixels[at], at, None)


def drawn(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_seeds_are_evenly_spaced_images_and_an_epoch_draws_no_others(tmp_path: Path) -> None:
    learner = task(tmp_path)
    weights = learner.eval().before_epoch(loader(), Progress(0, 9, 0.0)).weights
    assert weights is not None
    shuffled = EpochLoader(toy.split(24, 5), 8)
    shuffled.set_weights(weights)
    places = {int(at) for epoch in range(20) for at in shuffled.order(epoch)}
    assert sorted(places) == evenly_spaced(24, 10).tolist()
    learner.train()
    assert learner.views(seeds(), drawn()).targets.tolist() == list(range(10))
    whole = task(tmp_path, seeds=24)
    assert whole.before_epoch(loader(), Progress(0, 9, 0.0)).weights is None, "all of them, each once"


def test_an_image_without_a_class_cannot_be_trained_on(tmp_path: Path) -> None:
    learner = task(tmp_path)
    with pytest.raises(IndexError):
        learner.loss(learner.views(toy.batch(6), drawn()))


def test_a_view_that_changes_nothing_is_the_seeds_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exemplar, "GAIN", (1.0, 1.0))
    monkeypatch.setattr(exemplar, "OFFSET", 0.0)
    learner, images = task(tmp_path, patch=12, **STILL), seeds()
    assert len({tuple(place) for place in learner.places[images.positions].tolist()}) > 5, "each has its own"
    view = learner.views(images, drawn()).pixels
    assert view.shape == (1, 10, 3, 12, 12)
    for pixels, place, found in zip(images.pixels, learner.places[images.positions], view[0], strict=True):
        top, left = (int(x) - 6 for x in place)
        torch.testing.assert_close(found, pixels[:, top : top + 12, left : left + 12], atol=1e-5, rtol=0)


def test_a_view_lies_turns_and_grows_within_its_bounds(tmp_path: Path) -> None:
    """On images whose colours are rows and columns, a view says where its corners were."""
    ramp = torch.arange(64).view(1, -1, 1).expand(1, 64, 64) / 64 + 1 / 128
    pixels = torch.cat([ramp, ramp.transpose(1, 2), torch.zeros_like(ramp)]).expand(400, -1, -1, -1)
    learner = task(tmp_path, **{**STILL, "shift": 0.2, "scale": (0.7, 1.4), "turn": 20.0})
    seen: dict[str, Tensor] = {}

    def spied(pixels: Tensor, *_: Tensor) -> Tensor:
        seen.setdefault("view", pixels)
        return pixels

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "stretch", spied)
        learner.places = torch.full((400, 2), 32.0)
        learner.classes = torch.arange(400)
        learner.views(Images(pixels, torch.arange(400), None), drawn())
    rows, columns = seen["view"][:, 0] * 64, seen["view"][:, 1] * 64
    middle = torch.stack([rows.mean((1, 2)), columns.mean((1, 2))]) - 32
    assert 6 < float(middle.abs().max()) <= 0.2 * 32 + 1e-3
    across = torch.complex(columns[:, 0, -1] - columns[:, 0, 0], rows[:, 0, -1] - rows[:, 0, 0])
    angle, scale = across.angle().rad2deg(), 31 / across.abs()
    assert 18 < float(angle.max()) <= 20.01
    assert -18 > float(angle.min()) >= -20.01
    assert 0.699 < float(scale.min()) < 0.72
    assert 1.37 < float(scale.max()) < 1.401
    assert float(scale.log().median()) == pytest.approx(0.0, abs=0.06), "as often smaller as larger"


def test_axes_are_the_principal_components_of_the_seeds_colours(tmp_path: Path) -> None:
    learner = task(tmp_path)
    colours = seeds().pixels.double().permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    np.testing.assert_allclose(learner.mean.numpy(), colours.mean(0), atol=1e-5)
    _, _, expected = np.linalg.svd(colours - colours.mean(0), full_matrices=False)
    overlap = np.abs(expected[::-1] @ learner.axes.double().numpy())
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-3)


def test_places_are_drawn_by_the_squared_gradient_within() -> None:
    pixels = torch.zeros(1, 3, 10, 12)
    pixels[:, :, 2, 3] = pixels[:, :, 7, 9] = 0.5
    brightness = pixels[0].mean(0).double().numpy()
    energy = sum(g**2 for g in np.gradient(brightness))
    weights = np.array([[energy[i : i + 4, j : j + 4].sum() for j in range(9)] for i in range(7)])
    found = rich_places(pixels.expand(20_000, -1, -1, -1), 4, drawn()) - 2
    counts = np.zeros((7, 9))
    np.add.at(counts, tuple(found.long().T.numpy()), 1)
    np.testing.assert_allclose(counts / 20_000, weights / weights.sum(), atol=0.01)
    assert (counts[weights == 0] == 0).all()
    flat = rich_places(torch.full((500, 3, 10, 12), 0.5), 4, drawn()) - 2
    assert (int(flat[:, 0].max()), int(flat[:, 1].max()), int(flat.min())) == (6, 8, 0)


@torch.no_grad()
def test_in_training_the_seed_is_asked_for(tmp_path: Path) -> None:
    learner = task(tmp_path)
    torch.nn.init.normal_(learner.head[3].weight)
    batch = learner.views(seeds(), drawn())
    logits = learner.eval().head(learner.encoder.vector(batch.pixels[0])).double()
    total = 0.0
    for row, own in zip(logits.tolist(), range(10), strict=True):
        total -= (row[own] - math.log(sum(math.exp(x) for x in row))) / 10
    assert float(learner.loss(batch).loss) == pytest.approx(total, rel=1e-5)
    assert learner.chance(batch)["loss"] == pytest.approx(math.log(10))


@torch.no_grad()
def test_in_validation_a_view_is_told_by_the_chance_that_both_show_one_seed(tmp_path: Path) -> None:
    learner = task(tmp_path).eval()
    torch.nn.init.normal_(learner.head[3].weight)
    batch = learner.views(toy.batch(6), drawn())
    one, two = (learner.head(learner.encoder.vector(v)).double().softmax(1).tolist() for v in batch.pixels)
    total = 0.0
    for i, row in enumerate(one):
        same = [sum(a * b for a, b in zip(row, other, strict=True)) for other in two]
        total -= math.log(same[i] / sum(same)) / 6
    assert float(learner.loss(batch).loss) == pytest.approx(total, rel=1e-5)
    assert learner.chance(batch)["loss"] == pytest.approx(math.log(6))


def test_a_run_killed_in_its_second_epoch_goes_on_to_the_bit(tmp_path: Path) -> None:
    goes_on_to_the_bit(lambda: Exemplar(toy.encoder("rgb"), seeds=20, hidden=8), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 1}, "seeds and patch from 2, patch or None, and hidden from 1, got 1, None, 8"),
        ({"power": 0.5}, r"contrast and power from 1.*got 2.0, 0.5, 0.2, 20.0, 0.1"),
        ({"hue": 0.6}, r"hue in \[0, 0.5\], got"),
        ({"scale": (1.4, 0.7)}, r"Exemplar.scale is two rising numbers in \(0, inf\]"),
        ({"dropout": 1.0}, r"Exemplar.dropout is a share in \[0, 1\), got 1.0"),
        ({"patch": 33}, "Exemplar.patch is 33 pixels, of images of 32×32"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        task(tmp_path, **changes)


def test_more_seeds_than_images_and_fewer_than_a_batch_are_refused(tmp_path: Path) -> None:
    learner = task(tmp_path)
    learner.check(10, 8)
    with pytest.raises(ValueError, match=r"Exemplar\.seeds is 10, of only 9 images"):
        learner.check(9, 8)
    with pytest.raises(ValueError, match=r"Exemplar\.seeds is 10, fewer than a batch of 11"):
        learner.check(24, 11)
