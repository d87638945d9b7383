"""Inputs against scikit-image, SciPy, torchvision and values worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor
from torchvision.transforms.v2.functional import normalize

from pretext import inputs
from pretext.inputs import AB, INPUTS, RGB, Input, Lab, Lightness, MeanGray, Sobel


def photos(count: int = 2, height: int = 13, width: int = 9) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3))


def one_colour(*rgb: float) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, 4, 5)


@pytest.mark.parametrize("kind", INPUTS.values(), ids=INPUTS)
class TestEvery:
    def test_shape_is_as_declared(self, kind: type[Input]) -> None:
        assert kind()(photos()).shape == (2, kind.channels, 13, 9)

    def test_is_a_function_of_the_image_alone(self, kind: type[Input]) -> None:
        images = photos()
        before = images.clone()
        torch.testing.assert_close(kind().train()(images), kind().eval()(images), rtol=0, atol=0)
        torch.testing.assert_close(images, before, rtol=0, atol=0)

    def test_an_image_does_not_depend_on_its_batch(self, kind: type[Input]) -> None:
        images = photos()
        torch.testing.assert_close(kind()(images)[1:], kind()(images[1:]), rtol=0, atol=1e-6)

    def test_has_nothing_to_learn_or_to_save(self, kind: type[Input]) -> None:
        assert list(kind().parameters()) == []
        assert kind().state_dict() == {}

    def test_is_rebuilt_from_its_name_and_arguments(self, kind: type[Input]) -> None:
        first = kind()
        again = inputs.build(first.name, **json.loads(json.dumps(first.arguments)))
        assert type(again) is kind
        torch.testing.assert_close(again(photos()), first(photos()), rtol=0, atol=0)


def test_lightness_of_pure_colours() -> None:
    red, white, black = one_colour(1, 0, 0), one_colour(1, 1, 1), one_colour(0, 0, 0)
    for image, value in ((red, 53.2406), (white, 100.0), (black, 0.0)):
        assert Lightness()(image).mean().item() == pytest.approx((value - 50) / 50, abs=2e-5)
        assert Lightness(scale=1)(image).mean().item() == pytest.approx(value - 50, abs=1e-3)


def test_lab_and_ab_agree_with_scikit_image() -> None:
    images = photos()
    expected = torch.from_numpy(rgb2lab(images.permute(0, 2, 3, 1).numpy())).permute(0, 3, 1, 2).float()
    centred = expected - torch.tensor([50.0, 0, 0]).view(3, 1, 1)
    torch.testing.assert_close(Lab(scale=1)(images), centred, rtol=0, atol=2e-3)
    torch.testing.assert_close(Lab()(images), centred / 50, rtol=0, atol=4e-5)
    torch.testing.assert_close(AB(scale=0.5)(images), expected[:, 1:] / 2, rtol=0, atol=1e-3)
    torch.testing.assert_close(Lightness(scale=1)(images), centred[:, :1], rtol=0, atol=2e-3)


def test_lightness_does_not_see_the_colour() -> None:
    generator = np.random.default_rng(0)
    level = generator.uniform(40, 60, (1, 8, 8, 1))
    # Within 8 of gray all of these lie inside the sRGB gamut, so nothing is clipped.
    pair = [lab2rgb(np.concatenate([level, generator.uniform(-8, 8, (1, 8, 8, 2))], -1)) for _ in range(2)]
    one, other = (torch.from_numpy(rgb).permute(0, 3, 1, 2).float() for rgb in pair)
    assert (one - other).abs().max() > 0.02
    torch.testing.assert_close(Lightness()(one), Lightness()(other), rtol=0, atol=1e-4)
    assert (MeanGray()(one) - MeanGray()(other)).abs().max() > 0.005


def test_gray_is_the_plain_mean() -> None:
    assert MeanGray()(one_colour(0.9, 0.3, 0.6)).unique().tolist() == pytest.approx([0.6])


def test_rgb_normalises_as_torchvision_does() -> None:
    expected = normalize(photos(), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(RGB()(photos()), expected)
    plain = RGB(mean=(0, 0, 0), std=(1, 1, 1))
    torch.testing.assert_close(plain(photos()), photos(), rtol=0, atol=0)


def test_sobel_agrees_with_scipy() -> None:
    gray = photos().mean(1).numpy()
    for image, maps in zip(gray, Sobel()(photos()).numpy(), strict=True):
        # SciPy takes right minus left and bottom minus top.
        np.testing.assert_allclose(maps[0], -ndimage.sobel(image, axis=1, mode="nearest"), atol=1e-5)
        np.testing.assert_allclose(maps[1], -ndimage.sobel(image, axis=0, mode="nearest"), atol=1e-5)


def test_sobel_of_a_flat_image_and_of_an_edge() -> None:
    assert Sobel()(one_colour(0.7, 0.2, 0.4)).abs().max() < 1e-6
    edge = torch.zeros(1, 3, 4, 6)
    edge[..., 3:] = 1
    horizontal, vertical = Sobel()(edge)[0]
    assert horizontal[1].tolist() == [0, 0, -4, -4, 0, 0]
    assert vertical.abs().max() == 0


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'luma'.*lightness, gray, rgb, lab, ab, sobel"):
        inputs.build("luma")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("gray", {"scale": 2}), ("rgb", {"mean": [0.5]}), ("rgb", {"std": [1, 0, 1]}), ("lab", {"scale": None})],
)
def test_wrong_arguments_are_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"RGB takes|cannot be built"):
        inputs.build(name, **arguments)
