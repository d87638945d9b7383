"""Several crops of each image, and what two-view tasks do to their colours."""

import pytest
import torch
from made_images import generator, images
from torch import Tensor

from pretext import views


def ramp(count: int, side: int = 40) -> Tensor:
    """Images whose red says the column and whose green says the row, in shares of the side."""
    place = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(place, place, indexing="ij")
    return torch.stack((columns, rows, torch.zeros(side, side))).expand(count, -1, -1, -1)


def areas(crops: Tensor) -> Tensor:
    """Area of crops (N, 3, S, S) of a ramp, as a share of the image's."""
    side = crops.shape[-1]
    spread = side / (side - 1)  # from the centres of the outermost pixels to the edges
    width = (crops[:, 0, :, -1] - crops[:, 0, :, 0]).abs().mean(1) * spread
    height = (crops[:, 1, -1] - crops[:, 1, 0]).abs().mean(1) * spread
    return width * height


def test_every_kind_has_its_count_size_and_scale() -> None:
    kinds = [views.Crops(2, 16, (0.4, 1.0)), views.Crops(3, 8, (0.05, 0.4))]
    large, small = views.multi_crop(ramp(500), kinds, generator())
    assert large.shape == (2, 500, 3, 16, 16)
    assert small.shape == (3, 500, 3, 8, 8)
    for crops, (low, high) in ((large, (0.4, 1.0)), (small, (0.05, 0.4))):
        found = areas(crops.flatten(0, 1))
        assert low - 0.03 < float(found.min()) < low + 0.03
        assert float(found.max()) > 0.9 * high
        if high < 1:  # else crops that do not fit are drawn again, the large ones most
            assert float(found.mean()) == pytest.approx((low + high) / 2, abs=0.02)
            assert float(found.max()) < high + 0.05


def test_a_kind_of_none_is_empty_and_moves_no_draw() -> None:
    pixels = torch.rand(3, 3, 32, 32)
    large = views.Crops(2, 32, (0.2, 1.0))
    both, none = views.multi_crop(pixels, [large, views.Crops(0, 16, (0.1, 0.2))], generator(1))
    assert none.shape == (0, 3, 3, 16, 16)
    assert torch.equal(both, views.multi_crop(pixels, [large], generator(1))[0])


def test_crops_of_one_image_are_drawn_apart() -> None:
    one, two = views.multi_crop(ramp(400), [views.Crops(2, 8, (0.1, 0.5))], generator())[0]
    together = torch.corrcoef(torch.stack([*(x.mean((2, 3))[:, :2].T for x in (one, two))]).flatten(0, 1))
    assert float(together[:2, 2:].abs().max()) < 5 / 400**0.5
    mirrored = one[:, 0, 0, 0] > one[:, 0, 0, -1]
    assert abs(float(mirrored.float().mean()) - 0.5) < 5 * 0.5 / 400**0.5


def test_distortion_is_jitter_gray_blur_solarise_in_that_order() -> None:
    x = images(64)
    distort = views.Distortion(0.8, 0.8, 0.8, 0.2, gray=0.5, blur=0.5, kernel_size=5, solarise=0.5)
    draws = generator(4)
    expected = views.color_jitter(x, draws, 0.8, 0.8, 0.8, 0.2, p=0.8)
    expected = views.random_gray(expected, draws, p=0.5)
    expected = views.random_blur(expected, draws, 5, (0.1, 2.0), p=0.5)
    expected = views.random_solarise(expected, draws, p=0.5)
    assert torch.equal(distort(x, generator(4)), expected)
    assert torch.equal(views.Distortion(0.8, 0.8, 0.8, 0.2, jitter=0, gray=0)(x, generator()), x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrast": -0.1}, r"Distortion.contrast is a size from 0, got -0.1"),
        ({"hue": 0.6}, r"Distortion.hue is a part of a circle in \[0, 0.5\], got 0.6"),
        ({"gray": 1.5}, r"Distortion.gray is a probability in \[0, 1\], got 1.5"),
        ({"kernel_size": 6}, r"Distortion.kernel_size takes a kernel of an odd number of pixels, got 6"),
        ({"sigma": (2, 1)}, r"Distortion.sigma is two rising numbers in \(0, inf\], got \(2, 1\)"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        views.Distortion(**{"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, **changes})
