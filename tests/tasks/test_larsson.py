"""Larsson: histograms and hypercolumns against slow ones, weights, divergences, and colours read out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import toy
from scipy.ndimage import map_coordinates
from scipy.special import rel_entr
from skimage import color
from torch import Tensor

from pretext.color import lab_to_rgb, lightness, rgb_to_lab
from pretext.task import Images
from pretext.tasks import coloring
from pretext.tasks.larsson import Faded, Histograms, Larsson, at_points


def task(**changes: Any) -> Larsson:
    small = {"bins": 4, "points": 6, "edge": 4, "window": 5, "hidden": 8}
    return Larsson(toy.encoder(), **{**small, **changes})


def batch(learner: Larsson, images: Images | None = None) -> Histograms:
    return learner.views(images or toy.batch(4), torch.Generator().manual_seed(1))


def shaken(learner: Larsson) -> Larsson:
    torch.manual_seed(2)
    torch.nn.init.normal_(learner.head[4].weight)
    return learner.eval()


def test_histograms_count_a_window_around_each_point() -> None:
    found = batch(task())
    assert found.points.shape == (4, 6, 2)
    assert 4 <= int(found.points.min()) <= int(found.points.max()) < 28
    hsv = color.rgb2hsv(found.pixels.double().numpy(), channel_axis=1)
    values = hsv[:, 0], hsv[:, 1] * hsv[:, 2]  # hue; chroma is value times saturation
    for i in range(4):
        for j, (row, column) in enumerate(found.points[i].tolist()):
            for which, value in enumerate(values):
                window = value[i, row - 2 : row + 3, column - 2 : column + 3]
                expected, _ = np.histogram(window, 4, (0, 1))
                np.testing.assert_allclose(found.shares[i, j, which], expected / 25, atol=1e-6)


def test_points_are_drawn_in_training_and_regular_afterwards() -> None:
    one, two = (task().views(toy.batch(4), torch.Generator().manual_seed(seed)).points for seed in (1, 2))
    assert not torch.equal(one, two)
    assert len({tuple(points.flatten().tolist()) for points in one}) == 4, "each image has points of its own"
    regular = batch(task().eval()).points
    places = [[row, column] for row in range(4, 28, 4) for column in range(4, 28, 4)]
    assert regular.tolist() == [places] * 4


def test_maps_are_read_between_their_cells() -> None:
    maps = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[[0, 0], [3, 9], [39, 31]], [[8, 16], [13, 2], [30, 30]]])
    for stride, start in ((8, 0.0), (8, 3.5)):
        read = at_points(maps, points, stride, start)
        for i in range(2):
            cells = (points[i].numpy().T - start) / stride
            for channel in range(3):
                expected = map_coordinates(maps[i, channel].numpy(), cells, order=1, mode="nearest")
                np.testing.assert_allclose(read[i, channel], expected, atol=1e-5)


@torch.no_grad()
def test_a_hypercolumn_is_what_all_stages_say_of_its_point() -> None:
    learner = shaken(task())
    taken: list[Tensor] = []
    learner.head.register_forward_hook(lambda module, given, out: taken.append(given[0]))
    found = batch(learner)
    learner.loss(found)
    features = learner.encoder(found.pixels).maps
    row, column = found.points[2, 9].tolist()
    assert (row, column) == (8, 16)
    here = [learner.encoder.input(found.pixels)[2, :, row, column]]
    here += [features[s.name][2, :, row // s.stride, column // s.stride] for s in learner.encoder.stages]
    torch.testing.assert_close(taken[0].view(4, -1, 1 + 5 * 8)[2, 9], torch.cat(here))


def test_tokens_lie_in_the_middle_of_their_patches() -> None:
    learner = Larsson(toy.token_encoder(), bins=4, hidden=8)
    asked: list[float] = []

    def remember(maps: Tensor, points: Tensor, stride: int, start: float = 0.0) -> Tensor:
        asked.append(start)
        return at_points(maps, points, stride, start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pretext.tasks.larsson.at_points", remember)
        learner.loss(batch(learner))
    assert asked == [0.0, 3.5, 3.5, 3.5]


@pytest.mark.parametrize("weighted", [False, True])
@torch.no_grad()
def test_the_loss_is_the_divergence_from_the_histograms(weighted: bool) -> None:
    learner = shaken(task(weighted=weighted))
    gray = coloring.gray(lightness(toy.batch(1, seed=9).pixels))
    mixed = Images(torch.cat([toy.batch(3).pixels, gray]), torch.arange(4), None)
    found = batch(learner, mixed)
    guess = learner._logits(found.pixels, found.points).softmax(3).double().numpy()
    expected = np.zeros(2)
    for i in range(3):  # the fourth image has no colour
        for j, (row, column) in enumerate(found.points[i].tolist()):
            pixel = found.pixels[i, :, row, column].double().numpy()
            level = pixel.mean()
            weights = (5 * np.ptp(pixel), 3 * min(level, 1 / 3, 1 - level)) if weighted else (1, 1)
            for which in range(2):
                each = rel_entr(found.shares[i, j, which].double().numpy(), guess[i, j, which]).sum()
                expected[which] += weights[which] * each / (3 * found.points.shape[1])
    step = learner.loss(found)
    assert step.weight is not None
    assert int(step.weight) == 3
    assert float(step.logs["hue"]) == pytest.approx(expected[0], rel=1e-4)
    assert float(step.logs["chroma"]) == pytest.approx(expected[1], rel=1e-4)
    assert float(step.loss) == pytest.approx(expected.sum(), rel=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@torch.no_grad()
def test_starts_at_uniform_distributions(weighted: bool) -> None:
    learner = task(weighted=weighted)
    found = batch(learner)
    step, chance = learner.loss(found), learner.chance(found)
    assert float(step.loss) == pytest.approx(chance["loss"], rel=1e-2)
    if not weighted:
        entropy = torch.special.entr(found.shares).sum(3).mean(dim=(0, 1))
        assert chance["hue"] == pytest.approx(math.log(4) - float(entropy[0]), rel=1e-5)
        assert chance["chroma"] == pytest.approx(math.log(4) - float(entropy[1]), rel=1e-5)


def said(learner: Larsson, hue: list[float], chroma: list[float]) -> Larsson:
    """The task made to say these distributions everywhere."""
    torch.nn.init.zeros_(learner.head[4].weight)
    with torch.no_grad():
        learner.head[4].bias.copy_(torch.tensor([*hue, *chroma]).clamp(min=1e-30).log())
    return learner.eval()


@torch.no_grad()
def test_a_color_is_the_mean_hue_and_the_median_chroma_as_bright_as_the_image() -> None:
    learner = said(task(bins=8, fade=0.0), [0, 0, 0.5, 0.5, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0])
    pixels = torch.full((1, 3, 16, 16), 0.5)
    ab = learner.paint(pixels)
    value, saturation = 0.5 + 2.5 / 16, 2 * 2.5 / 8 / (2 * 0.5 + 2.5 / 8)  # V = L + C/2, S = 2C/(2L + C)
    rgb = color.hsv2rgb([3 / 8, saturation, value])
    rgb += 0.5 - rgb.mean()
    np.testing.assert_allclose(ab[0, :, 5, 7], color.rgb2lab(rgb)[1:], atol=1e-2)
    painted = lab_to_rgb(torch.cat([lightness(pixels), ab], 1))
    assert float(rgb_to_lab(painted)[0, 1].max()) < 0, "green"


@pytest.mark.parametrize(
    ("fade", "share"), [(0.03, 0.01 / 0.03), (0.96, 0.01 / 0.96), (0.0, 1.0), (0.005, 1.0)]
)
def test_chroma_fades_where_hues_disagree(fade: float, share: float) -> None:
    # Two opposite hues, nearly balanced: the mean has a length of 0.01.
    hue = [0.505, 0, 0, 0, 0.495, 0, 0, 0]
    faint = said(task(bins=8, fade=fade), hue, [0, 0, 1, 0, 0, 0, 0, 0])
    with pytest.MonkeyPatch.context() as patch:
        kept: list[Tensor] = []
        patch.setattr(
            "pretext.tasks.larsson.rgb_of_hue",
            lambda guess, gray: (kept.append(guess), gray.expand(-1, 3, -1, -1))[1],
        )
        faint.paint(torch.full((1, 3, 8, 8), 0.5))
    hue_found, chroma = kept[0][0, :, 0, 0].tolist()
    assert hue_found == pytest.approx(0.5 / 8, abs=1e-4)
    assert chroma == pytest.approx(share * 2.5 / 8, rel=1e-3)


@torch.no_grad()
def test_another_fade_is_another_reading_of_the_same_weights() -> None:
    """As one that was built with it, loaded with the other's weights, colours."""
    one = shaken(task(fade=0.03))
    other = task(fade=0.96).eval()
    other.load_state_dict(one.state_dict())
    light = lightness(toy.batch(2).pixels)
    again = Faded(one, 0.96).colorize(light)
    assert torch.equal(again, other.colorize(light))
    assert not torch.equal(again, one.colorize(light))
    assert torch.equal(Faded(one, 0.03).colorize(light), one.colorize(light))
    with pytest.raises(ValueError, match=r"Faded.fade is a probability in \[0, 1\], got 2"):
        Faded(one, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bins": 1}, "bins from 2, points, hidden and target_stride from 1, got 1, 6, 8, 4"),
        ({"points": 0}, "got 4, 0, 8, 4"),
        ({"window": 4}, "odd number of pixels and an edge of at least half of it, got 4 and 4"),
        ({"edge": 1}, "got 5 and 1"),
        ({"dropout": 1.5}, r"Larsson.dropout is a probability in \[0, 1\], got 1.5"),
        ({"fade": -0.1}, r"Larsson.fade is a probability in \[0, 1\], got -0.1"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)


def test_images_that_are_all_edge_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"Larsson.edge=16 leaves no point in images of 32 pixels: at most 15"
    ):
        batch(task(edge=16))
    with pytest.raises(ValueError, match="'rgb' shows"):
        Larsson(toy.encoder("rgb"))
