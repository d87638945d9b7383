"""Pictures that look alike are found: by structure and its place, not by brightness or contrast."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import toy
from torch import Tensor

from pretext.color import lightness
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import one_by_one
from pretext.colorizers.retrieval import Chosen, References, gist, keep
from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader


def wave(frequency: float, angle: float, phase: float = 0.0, side: int = 64) -> Tensor:
    """L (1, 1, side, side) of a grating; at angle 0 it changes from left to right."""
    down, across = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    along = across * math.cos(angle) + down * math.sin(angle)
    return 50 + 20 * torch.cos(2 * math.pi * frequency * along + phase)[None, None]


def loader(pixels: np.ndarray, batch_size: int = 4) -> EpochLoader:
    labels = np.arange(len(pixels)) % 3
    split = Split("train", pixels, "made", labels)
    return EpochLoader(split, batch_size, shuffle=False, drop_last=False)


@pytest.mark.parametrize("scale", range(4))
@pytest.mark.parametrize("orientation", [0, 3, 4, 6])
def test_a_grating_is_seen_by_the_filter_of_its_frequency_and_direction(scale: int, orientation: int) -> None:
    light = wave(0.3 / 1.85**scale, math.pi * orientation / 8)
    energy = gist(light).view(4, 8, 16).mean(-1)
    assert np.unravel_index(int(energy.argmax()), (4, 8)) == (scale, orientation)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 1), (3, 0)])
def test_structure_is_seen_where_it_is(row: int, column: int) -> None:
    light = torch.full((1, 1, 64, 64), 50.0, dtype=torch.float64)
    cell = (slice(None), slice(None), slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16))
    light[cell] = wave(0.3, 0)[cell]
    energy = gist(light).view(32, 4, 4)[0]
    assert np.unravel_index(int(energy.argmax()), (4, 4)) == (row, column)


def test_brightness_and_contrast_change_nothing_and_phase_little() -> None:
    light = lightness(toy.batch(4).pixels)
    torch.testing.assert_close(gist(0.4 * light + 20), gist(light), rtol=0, atol=1e-5)
    inside = gist(wave(0.3, 0)).view(4, 8, 4, 4)[..., 1:3, 1:3]
    moved = gist(wave(0.3, 0, phase=1.3)).view(4, 8, 4, 4)[..., 1:3, 1:3]
    torch.testing.assert_close(moved, inside, rtol=0.02, atol=0.005)


def test_it_is_of_unit_length_or_nothing_and_each_image_has_its_own() -> None:
    light = torch.cat([lightness(toy.batch(3).pixels), torch.full((1, 1, 32, 32), 70.0)])
    found = gist(light)
    assert found.shape == (4, 512)
    torch.testing.assert_close(found.norm(dim=1), torch.tensor([1.0, 1, 1, 0]).double())
    torch.testing.assert_close(gist(light[1:2]), found[1:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (300, 7)])
def test_any_size_is_described(size: tuple[int, int]) -> None:
    assert torch.isfinite(gist(100 * torch.rand(1, 1, *size))).all()


def test_the_nearest_are_those_of_least_distance_and_a_darker_copy_finds_itself() -> None:
    pixels, _ = toy.stripes(20, 3)
    references = References()
    references.fit(loader(pixels), seed=0)
    light = lightness(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    described = gist(light).numpy()
    order = np.argsort([float(np.linalg.norm(one - described[7])) for one in described])
    found = references.nearest(light[7], 5)
    for picture, place in zip(found, order, strict=False):
        assert np.array_equal((picture * 255).round().byte().permute(1, 2, 0).numpy(), pixels[place])
    (own,) = references.nearest(0.5 * light[7] + 10, 1)
    torch.testing.assert_close(own, found[0])


def test_gray_images_are_left_out_and_the_images_bounded() -> None:
    pixels, _ = toy.stripes(9, 3)
    pixels[[0, 4]] = pixels[[0, 4]].mean(-1, keepdims=True).astype(np.uint8)
    kept = keep("Somebody", loader(pixels), 100)
    assert torch.equal(kept.pixels, torch.from_numpy(np.delete(pixels, [0, 4], 0)).permute(0, 3, 1, 2))
    assert kept.labels is not None
    assert kept.labels.tolist() == [1, 2, 0, 2, 0, 1, 2]
    few = References(images=3)
    few.fit(loader(pixels), seed=0)
    assert len(few) == 1, "of the images 0, 4 and 8 two are gray"
    with pytest.raises(ValueError, match="no training image has colour"):
        References().fit(loader(pixels[[0, 4]]), seed=0)


def test_what_cannot_be_found_is_named() -> None:
    references = References()
    with pytest.raises(ValueError, match="fit to training images first"):
        references.nearest(torch.full((1, 8, 8), 50.0), 1)
    pixels, _ = toy.stripes(4, 0)
    references.fit(loader(pixels), seed=0)
    (image,) = one_by_one("Somebody", torch.full((1, 1, 8, 8), 50.0), ())
    with pytest.raises(ValueError, match="Somebody, image 0 of the batch of 1: References has 4 images"):
        references.of(image, 5)
    with pytest.raises(ValueError, match="starts at 1, got 0"):
        References(images=0)


def test_chosen_references_are_the_first_that_were_given() -> None:
    given = tuple(torch.rand(3, 4, 5 + i) for i in range(3))
    (image,) = one_by_one("Somebody", torch.full((1, 1, 8, 8), 50.0), [Hints(references=given)])
    found = Chosen().of(image, 2)
    assert all(torch.equal(one, other) for one, other in zip(found, given[:2], strict=True))
    with pytest.raises(ValueError, match="needs 4 references or more"):
        Chosen().of(image, 4)
