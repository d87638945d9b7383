"""Scribbled colours spread as the published energy says: known answers, bounds, and a dense solution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toy
from numpy.typing import NDArray
from scipy.sparse import csc_array
from skimage.color import lab2rgb

from pretext.color import lightness, rgb_to_lab
from pretext.colorizers.contract import Hints, Scribbles
from pretext.colorizers.levin import Levin, affinities, dissected, propagate

Floats = NDArray[np.float64]


def step(height: float) -> Floats:
    """32×32 with a step at column 16."""
    luminance = np.full((32, 32), 0.3)
    luminance[:, 16:] += height
    return luminance


def scribbled(*values: tuple[int | slice, int | slice, float]) -> tuple[Floats, NDArray[np.bool_]]:
    """Chroma (32, 32, 1) and where it is marked, by rows, columns and value."""
    chroma, marked = np.zeros((32, 32, 1)), np.zeros((32, 32), dtype=bool)
    for row, column, value in values:
        chroma[row, column], marked[row, column] = value, True
    return chroma, marked


@pytest.mark.parametrize("height", [0.1, 0.2, 0.6])
def test_two_scribbled_pixels_fill_the_sides_of_a_step_of_any_height(height: float) -> None:
    found = propagate(step(height), *scribbled((16, 4, 1.0), (16, 27, -1.0)))[..., 0]
    assert found[:, :16].mean() == pytest.approx(0.974, abs=5e-4)
    assert found[:, 16:].mean() == pytest.approx(-0.974, abs=5e-4)


@pytest.mark.parametrize("height", [0.1, 0.2, 0.6])
def test_scribbled_columns_leak_little_across_a_step(height: float) -> None:
    found = propagate(step(height), *scribbled((slice(None), 4, 1.0), (slice(None), 27, -1.0)))[..., 0]
    assert found[:, :16].mean() == pytest.approx(0.9955, abs=5e-5)
    assert found[:, 16:].mean() == pytest.approx(-0.9955, abs=5e-5)
    np.testing.assert_allclose(found[:, 15], 0.988, atol=5e-4)
    np.testing.assert_allclose(found[:, 16], -0.988, atol=5e-4)


@pytest.mark.parametrize("height", [0.0, 0.2])
def test_one_colour_fills_everything(height: float) -> None:
    np.testing.assert_allclose(propagate(step(height), *scribbled((3, 20, 0.7))), 0.7, atol=1e-10)


def test_on_a_ramp_colour_is_a_ramp() -> None:
    luminance = np.broadcast_to(np.linspace(0, 1, 32), (32, 32)).copy()
    found = propagate(luminance, *scribbled((slice(None), 0, 0.0), (slice(None), 31, 1.0)))[..., 0]
    np.testing.assert_allclose(found, luminance, atol=1e-12)


def slow_weights(luminance: Floats, row: int, column: int) -> dict[tuple[int, int], float]:
    """A pixel's weights, written out."""
    around = {
        (r, c): luminance[r, c]
        for r in range(max(row - 1, 0), min(row + 2, luminance.shape[0]))
        for c in range(max(column - 1, 0), min(column + 2, luminance.shape[1]))
    }
    own = around[row, column]
    spread = 0.6 * np.mean([(value - np.mean(list(around.values()))) ** 2 for value in around.values()])
    del around[row, column]
    nearest = min((value - own) ** 2 for value in around.values())
    spread = max(spread, nearest / np.log(100), 2e-6)
    weights = {place: np.exp(-((value - own) ** 2) / spread) for place, value in around.items()}
    total = sum(weights.values())
    return {place: float(weight / total) for place, weight in weights.items()}


def test_it_solves_the_system_of_weights_written_out_by_hand() -> None:
    draw = np.random.default_rng(0)
    luminance = draw.random((6, 7))
    luminance[2:4, 2:5] = 0.5  # a flat window, whose spread is the floor
    luminance[5, 6] = 0.9 + 0.1 * draw.random()
    marked = draw.random((6, 7)) < 0.15
    chroma = draw.normal(size=(6, 7, 2))
    matrix = np.eye(42)
    for row in range(6):
        for column in range(7):
            if not marked[row, column]:
                for (r, c), weight in slow_weights(luminance, row, column).items():
                    matrix[row * 7 + column, r * 7 + c] = -weight
    wanted = np.linalg.solve(matrix, np.where(marked[..., None], chroma, 0).reshape(42, 2)).reshape(6, 7, 2)
    found = propagate(luminance, np.where(marked[..., None], chroma, np.nan), marked)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert found.max() <= chroma[marked].max() + 1e-12
    assert np.array_equal(found[marked], chroma[marked])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 2), (7, 3), (13, 20)])
def test_an_order_has_every_pixel_once_and_a_line_after_both_its_sides(height: int, width: int) -> None:
    order = dissected(height, width)
    assert sorted(order.tolist()) == list(range(height * width))
    if (height, width) == (13, 20):
        line = {row * 20 + 10 for row in range(13)}
        assert set(order[-13:].tolist()) == line, "the middle column is last"
        left, right = order[:130] % 20, order[130:-13] % 20
        assert left.max() < 10 < right.min(), "and parts the others"


def test_weights_sum_to_one_and_reach_over_no_border() -> None:
    weights, there = affinities(np.random.default_rng(0).random((5, 4)))
    np.testing.assert_allclose(weights.sum(0), 1)
    assert (weights[~there] == 0).all()
    assert there.sum(0).tolist() == [[3, 5, 5, 3], [5, 8, 8, 5], [5, 8, 8, 5], [5, 8, 8, 5], [3, 5, 5, 3]]


NOTHING = np.zeros((4, 4), dtype=bool)


@pytest.mark.parametrize(
    ("luminance", "chroma", "marked", "said"),
    [
        (np.ones((4, 4)), np.ones((4, 4, 1)), NOTHING, "no pixel is marked"),
        (255 * np.ones((4, 4)), np.ones((4, 4, 1)), ~NOTHING, r"must lie in \[0, 1\]"),
        (np.full((4, 4), np.nan), np.ones((4, 4, 1)), ~NOTHING, "from nan"),
        (np.ones((4, 4)), np.full((4, 4, 1), np.nan), ~NOTHING, "marked value is not finite"),
        (np.ones((4, 4)), np.ones((4, 5, 1)), ~NOTHING, r"chroma \(H, W, C\)"),
        (np.ones((4, 4)), np.ones((4, 4, 1)), NOTHING[:3], "marked must be bool"),
    ],
)
def test_what_cannot_be_solved_is_refused(
    luminance: Floats, chroma: Floats, marked: NDArray[np.bool_], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        propagate(luminance, chroma, marked)


def test_a_system_without_a_solution_is_the_images_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    light, marked = torch.full((2, 1, 4, 4), 50.0), torch.ones(4, 4, dtype=torch.bool)
    hints = [Hints(scribbles=Scribbles(torch.ones(2, 4, 4), marked))] * 2
    for matrix, said in ((0 * np.eye(16), "is singular"), (1e-320 * np.eye(16), "has no finite solution")):
        monkeypatch.setattr("pretext.colorizers.levin._system", lambda *_, one=matrix: csc_array(one))
        with pytest.raises(
            ValueError, match=rf"Levin, image 0 of the batch of 2: the system that spreads its colours {said}"
        ):
            Levin().colorize(light, hints)


def test_scribbles_everywhere_are_the_picture_itself() -> None:
    """Nothing is lost on the way into YIQ and back to Lab."""
    rgb = toy.batch(2).pixels
    lab = rgb_to_lab(rgb)
    everywhere = torch.ones(32, 32, dtype=torch.bool)
    found = Levin().colorize(
        lightness(rgb), [Hints(scribbles=Scribbles(ab, everywhere)) for ab in lab[:, 1:]]
    )
    torch.testing.assert_close(found, lab[:, 1:], rtol=0, atol=2e-3)


def test_a_scribble_colours_its_side() -> None:
    light = torch.full((1, 1, 32, 32), 40.0)
    light[..., 16:] = 70
    ab, marked = torch.zeros(2, 32, 32), torch.zeros(32, 32, dtype=torch.bool)
    ab[:, :, 4], ab[:, :, 27] = torch.tensor([[30.0], [10.0]]), torch.tensor([[-25.0], [20.0]])
    marked[:, [4, 27]] = True
    found = Levin().colorize(light, [Hints(scribbles=Scribbles(ab, marked))])
    torch.testing.assert_close(found[0, :, :, 4], ab[:, :, 4], rtol=0, atol=1e-2)
    lab = torch.cat([light, found], 1)[0].permute(1, 2, 0).double().numpy()
    left, right = lab2rgb(lab[:, 2:14]), lab2rgb(lab[:, 18:30])
    assert (left[..., 0] > left[..., 1] + 0.1).all()
    assert (right[..., 1] > right[..., 0] + 0.1).all()


def test_an_image_without_scribbles_is_named() -> None:
    light = torch.full((2, 1, 4, 4), 50.0)
    given = Hints(scribbles=Scribbles(torch.zeros(2, 4, 4), torch.ones(4, 4, dtype=torch.bool)))
    with pytest.raises(ValueError, match="Levin, image 1 of the batch of 2: needs scribbles"):
        Levin().colorize(light, [given, Hints()])
