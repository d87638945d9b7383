"""A pixel takes the colour of what is as bright, after remapping, and as rough."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toy
from numpy.typing import NDArray
from torch import Tensor

from pretext.color import lab_to_rgb, lightness, rgb_to_lab
from pretext.colorizers import lalphabeta
from pretext.colorizers.contract import Hints
from pretext.colorizers.retrieval import Chosen, References
from pretext.colorizers.welsh import Welsh
from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader

ONE, OTHER = torch.tensor([25.0, 20.0]), torch.tensor([-20.0, 15.0])


def painted(light: Tensor, right: NDArray[np.bool_]) -> Tensor:
    """RGB (3, H, W) of L (H, W), one colour where `right`, the other elsewhere."""
    ab = torch.where(torch.from_numpy(right), ONE[:, None, None], OTHER[:, None, None])
    return lab_to_rgb(torch.cat([light[None], ab])[None])[0]


def colored(light: Tensor, reference: Tensor) -> Tensor:
    """The ab (2, H, W) of L (H, W)."""
    return Welsh(Chosen()).colorize(light[None, None], [Hints(references=(reference,))])[0]


def away(ab: Tensor, right: NDArray[np.bool_]) -> Tensor:
    """Distance of each pixel's colour from the one it should have."""
    wanted = torch.where(torch.from_numpy(right), ONE[:, None, None], OTHER[:, None, None])
    return (ab - wanted).norm(dim=0)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.0, 15.0), (0.5, 30.0), (1.2, -18.0)])
def test_two_levels_keep_their_colours_however_the_image_is_lit(scale: float, shift: float) -> None:
    """The shift is more than half a step: without remapping a level would take the other's colour."""
    right = np.zeros((30, 42), dtype=bool)
    right[:, 21:] = True
    light = torch.where(torch.from_numpy(right), 60.0, 40.0)
    reference = painted(light, right)
    target = (scale * light + shift).flip(1)
    found = colored(target, reference)
    # A colour of a given α and β has another ab at another lightness: compare with the pixel itself, relit.
    own = lalphabeta.from_rgb(reference.double().permute(1, 2, 0).numpy()[:, ::-1])
    made = lab_to_rgb(torch.cat([target[None], found])[None])[0].double().permute(1, 2, 0).numpy()
    np.testing.assert_allclose(lalphabeta.from_rgb(made)[..., 1:], own[..., 1:], atol=2e-4)
    if (scale, shift) == (1.0, 0.0):
        assert float(away(found, right[:, ::-1].copy()).max()) < 0.01


def test_roughness_alone_tells_two_halves_apart() -> None:
    draw = np.random.default_rng(0)
    right = np.zeros((64, 64), dtype=bool)
    right[:, 32:] = True
    noise = [
        torch.from_numpy(np.where(right, 50 + draw.normal(0, 10, (64, 64)).clip(-30, 30), 50.0)) for _ in "ab"
    ]
    reference = painted(noise[0].float(), right)
    found = colored(noise[1].float().flip(1), reference)
    flipped = right[:, ::-1].copy()
    lab = torch.cat([noise[1].float().flip(1)[None], found])[None]
    redder = (rgb_to_lab(lab_to_rgb(lab))[0, 1] > 0).numpy()
    inner = np.ones((64, 64), dtype=bool)
    inner[:, 30:34] = False
    assert (redder == flipped)[inner].mean() >= 0.98
    assert (redder == flipped)[:, 34:].all(), "the flat half"


def test_every_cell_of_the_grid_gives_one_sample() -> None:
    reference = torch.rand(3, 28, 42).double().permute(1, 2, 0).numpy()
    places = Welsh(Chosen())._samples(reference)
    rows, columns = np.divmod(places, 42)
    cells = set(zip((rows // 2).tolist(), (columns // 3).tolist(), strict=True))
    assert len(cells) == 196
    assert len(set((rows % 2).tolist())) == 2
    assert len(set((columns % 3).tolist())) == 3


def test_a_reference_of_the_image_itself_returns_its_colours_where_brightness_decides() -> None:
    right = np.zeros((20, 20), dtype=bool)
    right[5:12, 3:9] = True
    rgb = painted(torch.where(torch.from_numpy(right), 70.0, 45.0), right)
    assert float(away(colored(lightness(rgb[None])[0, 0], rgb), right).max()) < 0.01


def test_lalphabeta_returns_every_colour_and_gray_is_nearly_without() -> None:
    rgb = np.random.default_rng(0).random((50, 40, 3))
    np.testing.assert_allclose(lalphabeta.to_rgb(lalphabeta.from_rgb(rgb)), rgb, atol=1e-12)
    _, alpha, beta = lalphabeta.from_rgb(np.full(3, 0.5))
    assert alpha == pytest.approx(7.6e-4, abs=1e-5)
    assert beta == pytest.approx(9e-5, abs=5e-6)


def test_the_reference_is_found_in_the_training_set() -> None:
    pixels, _ = toy.stripes(12, 3)
    system = Welsh(References())
    loader = EpochLoader(Split("train", pixels, "made"), 5, shuffle=False, drop_last=False)
    system.fit(loader, seed=0)
    rgb = torch.from_numpy(pixels[4:5]).permute(0, 3, 1, 2).float() / 255
    found = system.colorize(lightness(rgb))
    chosen = Welsh(Chosen()).colorize(lightness(rgb), [Hints(references=(rgb[0],))])
    torch.testing.assert_close(found, chosen, rtol=0, atol=1e-4)
    truth = rgb_to_lab(rgb)[:, 1:]
    assert float((found - truth).norm(dim=1).mean()) < 0.3 * float(truth.norm(dim=1).mean())


def test_arguments_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"Welsh.grid starts at 1, got 0"):
        Welsh(Chosen(), grid=0)
    with pytest.raises(ValueError, match=r"Welsh.window is an odd number of pixels, got 4"):
        Welsh(Chosen(), window=4)
    with pytest.raises(ValueError, match="Welsh, image 0 of the batch of 1: reference 0 has no colour"):
        colored(torch.full((8, 8), 50.0), torch.full((3, 8, 8), 0.3))
