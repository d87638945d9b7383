"""References are of the label, with an object of the mask's outline and the image's texture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext.color import lab_to_rgb, lightness
from pretext.colorizers.chia_semantic import ChiaSemantic, best_of, edges, outline
from pretext.colorizers.contract import Hints
from pretext.colorizers.saliency import salient
from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader

SIDE = 48
DOWN, ACROSS = np.indices((SIDE, SIDE))
DISC = np.hypot(DOWN - 24, ACROSS - 24) < 13
HALF = (np.hypot(DOWN - 24, ACROSS - 24) < 17) & (ACROSS < 24)
BAR = (abs(DOWN - 24) < 20) & (abs(ACROSS - 24) < 5)
RED, GREEN, BLUE, SAND = (45, 30), (-40, 30), (10, -45), (2, 18)


def scene(mask: NDArray[np.bool_], striped: bool, color: tuple[int, int], noise: float, seed: int) -> Tensor:
    """RGB (3, 48, 48): an object on sand."""
    draw = np.random.default_rng(seed)
    stripes = 14 * np.sign(np.sin(2 * np.pi * ACROSS / 6)) if striped else 0
    light = np.where(mask, 52 + stripes, 70) + draw.normal(0, noise, (SIDE, SIDE))
    ab = np.where(mask, np.array(color)[:, None, None], np.array(SAND)[:, None, None])
    return lab_to_rgb(torch.from_numpy(np.concatenate([light[None], ab]))[None].float())[0]


def noise(seed: int) -> Tensor:
    """No object at all, in green and blue."""
    draw = np.random.default_rng(seed)
    lab = np.stack([draw.uniform(30, 80, (SIDE, SIDE)), *draw.uniform(-60, 0, (2, SIDE, SIDE))])
    return lab_to_rgb(torch.from_numpy(lab)[None].float())[0]


def system(results: int = 3) -> ChiaSemantic:
    """Fitted on label 0: 5 good references, and others of the wrong outline, texture, or of nothing."""
    pictures = [
        *[scene(HALF, True, GREEN, 0.5, i) for i in range(4)],
        *[scene(DISC, False, BLUE, 0.5, i) for i in range(3)],
        *[noise(i) for i in range(12)],
        *[scene(np.roll(DISC, (i - 2, 2 * i - 4), (0, 1)), True, RED, 5.0, i) for i in range(5)],
        *[scene(DISC, True, GREEN, 0.5, i) for i in range(6)],
    ]
    labels = np.array([0] * 24 + [1] * 6)
    pixels = (torch.stack(pictures) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    made = ChiaSemantic(results=results)
    made.fit(EpochLoader(Split("train", pixels, "made", labels), 7, shuffle=False, drop_last=False), 0)
    return made


def asked(label: int | None = 0) -> tuple[Tensor, list[Hints]]:
    light = lightness(scene(DISC, True, RED, 0.5, 99)[None])
    return light, [Hints(label=label, mask=torch.from_numpy(DISC))]


def hue_share(ab: Tensor, color: tuple[int, int], where: NDArray[np.bool_]) -> float:
    """Share of the pixels whose colour is nearer to this one than a fourth of its chroma."""
    wanted = torch.tensor(color).float()[:, None, None]
    near = (ab - wanted).norm(dim=0) < 0.25 * wanted.norm()
    return float(near.numpy()[where].mean())


def test_distractors_of_the_same_label_are_dropped() -> None:
    """Each has the image's texture or its outline exactly; the good ones are noisier and elsewhere."""
    light, hints = asked()
    found = system().proposals(light, hints)
    assert found.shape == (3, 1, 2, SIDE, SIDE)
    for one in found[:, 0]:
        assert hue_share(one, RED, DISC) > 0.95
        assert hue_share(one, SAND, ~DISC) > 0.9
    assert torch.equal(system().colorize(light, hints), found[0])


def test_the_label_decides_whose_colours_they_are() -> None:
    light, hints = asked(1)
    assert hue_share(system().colorize(light, hints)[0], GREEN, DISC) > 0.95


def test_object_and_surroundings_do_not_mix_even_where_brightness_is_the_same() -> None:
    light = torch.full((1, 1, SIDE, SIDE), 60.0)
    found = system().colorize(light, [Hints(label=0, mask=torch.from_numpy(DISC))])[0]
    assert hue_share(found, BLUE, DISC) > 0.99, "of the smooth ones"
    assert hue_share(found, SAND, ~DISC) > 0.99


def test_a_larger_image_and_its_mask_are_coloured_at_their_own_size() -> None:
    light, _ = asked()
    wide = torch.nn.functional.interpolate(light, (96, 120), mode="bilinear")
    mask = torch.nn.functional.interpolate(torch.from_numpy(DISC)[None, None].float(), (96, 120))[0, 0] > 0.5
    found = system().colorize(wide, [Hints(label=0, mask=mask)])
    assert found.shape == (1, 2, 96, 120)
    assert hue_share(found[0], RED, mask.numpy()) > 0.95


def test_the_best_of_several_is_the_nearest_to_the_truth_image_by_image() -> None:
    truth = torch.zeros(2, 2, 4, 4)
    proposals = torch.stack([truth + torch.tensor([5.0, 1.0]).view(2, 1, 1, 1), truth + 3, truth - 9])
    best = best_of(proposals, truth)
    assert torch.equal(best, torch.stack([proposals[1, 0], proposals[0, 1]]))
    light, hints = asked()
    found = system().proposals(light, hints)
    wanted = torch.tensor(RED).float().view(1, 2, 1, 1).expand(1, 2, SIDE, SIDE)
    errors = (found - wanted).norm(dim=2).mean((1, 2, 3))
    assert float((best_of(found, wanted) - wanted).norm(dim=1).mean()) == pytest.approx(float(errors.min()))


def test_an_object_that_stands_out_is_found_and_noise_is_less_clear() -> None:
    for mask in (DISC, BAR, np.roll(DISC, -13, 0)):
        found = salient(scene(mask, True, RED, 1, 0).double().permute(1, 2, 0).numpy())
        assert (found.mask & mask).sum() / (found.mask | mask).sum() > 0.75
        assert found.clarity > salient(noise(0).double().permute(1, 2, 0).numpy()).clarity + 0.1
    ring = DISC & (np.hypot(DOWN - 24, ACROSS - 24) > 7)
    assert salient(scene(ring, False, BLUE, 0, 0).double().permute(1, 2, 0).numpy()).mask[24, 24], "no holes"
    flat = salient(np.full((20, 30, 3), 0.4))
    assert not flat.mask.any()
    assert flat.clarity == 0


def test_an_outline_does_not_depend_on_place_and_size() -> None:
    small = np.zeros((90, 70), dtype=bool)
    small[10:40, 20:50] = np.hypot(*np.indices((30, 30)) - 14.5) < 15
    alike = (outline(small) & outline(DISC)).sum() / (outline(small) | outline(DISC)).sum()
    assert alike > 0.95
    assert (outline(BAR) & outline(DISC)).sum() / (outline(BAR) | outline(DISC)).sum() < 0.4
    assert not outline(np.zeros((5, 5), dtype=bool)).any()


@pytest.mark.parametrize(("turn", "bin"), [(0, 0), (np.pi / 4, 2), (np.pi / 2, 4), (3 * np.pi / 4, 6)])
def test_edges_are_told_by_their_direction_within_the_mask(turn: float, bin: int) -> None:
    light = 50 + 14 * np.sin(2 * np.pi * (np.cos(turn) * ACROSS + np.sin(turn) * DOWN) / 9)
    light[DOWN >= 36] = np.random.default_rng(0).uniform(0, 100, light[DOWN >= 36].shape)
    inner = DISC & (DOWN < 26)
    found = edges(light, inner)
    assert found.sum() == pytest.approx(1)
    assert found[bin] + found[8 + bin] > 0.95
    np.testing.assert_allclose(edges(30 + 0.2 * light, inner), found, atol=1e-9)
    assert not edges(np.full((9, 9), 40.0), np.ones((9, 9), dtype=bool)).any()


def test_what_is_missing_is_named() -> None:
    light, (hints,) = asked()
    with pytest.raises(ValueError, match="fit to training images first"):
        ChiaSemantic().colorize(light, [hints])
    made = system(results=7)
    where = "ChiaSemantic, image 0 of the batch of 1"
    for given, said in [
        (Hints(mask=hints.mask), "needs a label"),
        (Hints(label=0), "needs a mask"),
        (hints._replace(label=9), "label 9 has 0 training images"),
        (
            hints._replace(label=1),
            "label 1 has 6 training images with colour among those kept, and 7 results",
        ),
    ]:
        with pytest.raises(ValueError, match=f"{where}: {said}"):
            made.colorize(light, [given])
    thin = torch.zeros(480, 480, dtype=torch.bool)
    thin[3, 3] = True
    with pytest.raises(ValueError, match="its mask marks too little"):
        made.colorize(torch.full((1, 1, 480, 480), 50.0), [Hints(label=0, mask=thin)])
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 8, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="the training images have no classes"):
        ChiaSemantic().fit(EpochLoader(Split("train", pixels, "made"), 4, shuffle=False), 0)
    with pytest.raises(ValueError, match="results from 3, got 4000, 150, 2"):
        ChiaSemantic(results=2)
