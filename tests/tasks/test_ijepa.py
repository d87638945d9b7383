"""I-JEPA: where blocks lie, what is compared, and who sees what."""

from __future__ import annotations

from typing import Any

import every
import pytest
import torch
import toy
from torch.nn import functional as F

from pretext.task import Progress
from pretext.tasks.ijepa import Blocks, IJepa, _placed, _side


def task(**changes: Any) -> IJepa:
    small = {"width": 16, "depth": 1, "heads": 2}
    return IJepa(every.encoder(IJepa, "rgb"), **{**small, **changes})


def batch(learner: IJepa, count: int = 6, seed: int = 1) -> Blocks:
    images = toy.batch(count)
    images = images._replace(pixels=F.interpolate(images.pixels, size=(64, 64)))
    return learner.views(images, torch.Generator().manual_seed(seed))


def test_a_block_lies_anywhere_in_the_grid_the_last_row_and_column_too() -> None:
    placed = _placed((3, 5), 8, 4000, torch.Generator().manual_seed(0))
    assert bool((placed.flatten(1).sum(1) == 15).all())
    tops = placed.any(2).float().argmax(1).bincount(minlength=6)
    lefts = placed.any(1).float().argmax(1).bincount(minlength=4)
    assert len(tops) == 6
    assert len(lefts) == 4
    assert float((tops / 4000 - 1 / 6).abs().max()) < 0.02
    assert float((lefts / 4000 - 1 / 4).abs().max()) < 0.025
    assert bool(placed[:, -1].any())
    assert bool(placed[:, :, -1].any())


@pytest.mark.parametrize(
    ("area", "aspect", "expected"),
    [(0.1875, 0.75, (3, 4)), (1.0, 1.0, (8, 8)), (0.9, 1.0, (8, 8)), (0.001, 1.0, (1, 1))],
)
def test_sizes_of_blocks(area: float, aspect: float, expected: tuple[int, int]) -> None:
    assert _side(area, aspect, 8) == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_context_shows_nothing_of_the_blocks(seed: int) -> None:
    found = batch(task(), seed=seed)
    assert found.targets.shape[:2] == (4, 6)
    for image in range(6):
        context, asked = found.context[image].tolist(), found.targets[:, image]
        assert len(set(context)) == len(context) > 0
        assert not set(context) & set(asked.flatten().tolist())
        for block in asked:
            rows, columns = block // 8, block % 8
            assert len(set(rows.tolist())) * len(set(columns.tolist())) == len(block), "no rectangle"
    sizes = {tuple(batch(task(), seed=s).targets.shape) for s in range(12)}
    assert len(sizes) > 1, "sizes are never drawn anew"


@torch.no_grad()
def test_what_is_said_of_a_block_does_not_depend_on_it() -> None:
    learner = task().eval()
    found = batch(learner)
    one = learner._predicted(found)
    other = found.pixels.clone()
    for image in range(6):
        for place in found.targets[:, image].flatten().unique().tolist():
            row, column = place // 8 * 8, place % 8 * 8
            other[image, :, row : row + 8, column : column + 8] = 0.1
    torch.testing.assert_close(learner._predicted(found._replace(pixels=other)), one)
    assert not torch.allclose(learner._wanted(found._replace(pixels=other)), learner._wanted(found))


@torch.no_grad()
def test_what_is_wanted_is_the_teachers_vectors_of_the_whole_image() -> None:
    learner = task().eval()
    for value in learner.student.parameters():  # apart from its teacher
        value.mul_(1.1)
    found = batch(learner)
    backbone: Any = learner.encoder.backbone
    tokens = backbone.embed(learner.encoder.input(found.pixels))
    vectors = backbone.encode(tokens.values, tokens.positions)[0][:, 1:]
    for block, asked in enumerate(found.targets):
        for image in range(6):
            rows = vectors[image, asked[image]]
            rows = (rows - rows.mean(1, keepdim=True)) / (
                rows.var(1, keepdim=True, correction=0) + 1e-5
            ).sqrt()
            torch.testing.assert_close(learner._wanted(found)[block, image], rows, rtol=1e-4, atol=1e-4)
    error = (learner._predicted(found) - learner._wanted(found)).abs().double()
    smooth = torch.where(error < 1, error**2 / 2, error - 0.5).mean()
    assert float(learner.loss(found).loss) == pytest.approx(float(smooth), rel=1e-5)


def test_zeros_cost_what_a_gaussian_says() -> None:
    values = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    assert float(F.smooth_l1_loss(torch.zeros_like(values), values)) == pytest.approx(0.425, abs=2e-3)
    found = batch(task())
    assert task().chance(found)["loss"] == pytest.approx(0.425, abs=0.05)


def test_the_teacher_follows_by_a_momentum_that_rises_linearly() -> None:
    for step, moved in ((0, 0.4), (5, 0.2), (10, 0.0)):
        learner = task(momentum=0.6)
        with torch.no_grad():
            for value in learner.student.parameters():
                value.add_(1)
        before = [p.clone() for p in learner.encoder.parameters()]
        learner.after_step(Progress(step, 10, 0.0))
        for old, new in zip(before, learner.encoder.parameters(), strict=True):
            torch.testing.assert_close(new, old + moved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": (0.2, 0.1)}, r"IJepa.block is two rising numbers in \(0, 1\]"),
        ({"heads": 3}, "multiple of 4 and of heads, got 4, 16, 1, 3"),
        ({"momentum": 1.5}, r"area in \(0, 1\] and momentum in \[0, 1\], got 0.3 and 1.5"),
        ({"crop": 60}, "IJepa.crop is a multiple of the patch of 8, or None, got 60"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)
    with pytest.raises(TypeError, match="IJepa drops tokens"):
        IJepa(toy.encoder("rgb"))


def test_blocks_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="leave an image of 8 × 8 fewer than 10 patches of context"):
        batch(task(block=(0.9, 1.0), aspect=(1.0, 1.01)))
    with pytest.raises(ValueError, match=r"IJepa\.least is at least one patch of context, got 0"):
        task(least=0)


@pytest.mark.parametrize("least", [1, 4, 10])
def test_every_image_of_a_large_batch_keeps_a_context(least: int) -> None:
    """Four blocks of 4 × 4 cover a context of 7 × 7 in one image of a thousand."""
    alone = _placed((4, 4), 8, 80_000, torch.Generator().manual_seed(0)).view(4, -1, 8, 8)
    left = (_placed((7, 7), 8, 20_000, torch.Generator().manual_seed(1)) & ~alone.any(0)).sum((1, 2))
    assert 1e-4 < float((left < 1).float().mean()) < 4e-3
    found = batch(task(block=(0.25, 0.25), aspect=(1.0, 1.0), context=(0.76, 0.77), least=least), 4000)
    assert len(found.context) == 4000
    assert least <= found.context.shape[1] < least + 4
    assert found.targets.shape == (4, 4000, 16)
    hidden = torch.zeros(4000, 64).scatter_(1, found.targets.transpose(0, 1).flatten(1), 1.0)
    assert float(hidden.gather(1, found.context).max()) == 0
    assert all(len(set(own)) == len(own) for own in found.context.tolist())
    # Blocks lie everywhere still: few images are drawn again.
    corners = found.targets[:, :, 0].flatten().bincount(minlength=64).view(8, 8)[:5, :5] / 16_000
    assert float((corners - 1 / 25).abs().max()) < 0.01
