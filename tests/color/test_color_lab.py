"""Lab against scikit-image, and what a target and a gradient need of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from pretext.color import ab_at_stride, lab_to_rgb, lightness, rgb_to_lab

TOLERANCE = 1e-3


def as_image(colors: Tensor) -> Tensor:
    """(N, 3) -> (1, 3, 1, N)."""
    return colors.t()[None, :, None]


def by_skimage(convert, image: Tensor) -> Tensor:
    return torch.from_numpy(convert(image.double().permute(0, 2, 3, 1).numpy())).permute(0, 3, 1, 2)


def assert_lab_agrees(rgb: Tensor) -> None:
    assert (rgb_to_lab(rgb) - by_skimage(rgb2lab, rgb)).abs().max() < TOLERANCE


def test_agrees_with_skimage_on_the_whole_8_bit_cube():
    values = torch.arange(256) / 255
    for red in values:
        assert_lab_agrees(as_image(torch.cartesian_prod(red[None], values, values)))


def test_agrees_with_skimage_between_the_8_bit_values_and_near_the_knee():
    generator = torch.Generator().manual_seed(0)
    colors = torch.rand(200_000, 3, generator=generator)
    dark = colors[:50_000] * 0.1  # both curves have their knees here
    assert_lab_agrees(as_image(torch.cat((colors, dark))))


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 0, 0), (53.2406, 80.0923, 67.2028)),
        ((0, 1, 0), (87.7351, -86.183, 83.1797)),
        ((0, 0, 1), (32.2957, 79.1856, -107.8573)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (100, -0.0024, 0.0047)),  # the matrix' rows do not sum to the white point exactly
    ],
)
def test_known_colors(rgb, lab):
    found = rgb_to_lab(torch.tensor([rgb], dtype=torch.float32)[:, :, None, None]).flatten()
    assert found.tolist() == pytest.approx(lab, abs=TOLERANCE)


def test_back_agrees_with_skimage_inside_and_outside_the_gamut():
    generator = torch.Generator().manual_seed(1)
    lab = torch.rand(1, 3, 1, 100_000, generator=generator) * torch.tensor([100, 256, 256])[:, None, None]
    lab = lab - torch.tensor([0, 128, 128])[:, None, None]
    with pytest.warns(UserWarning, match="negative Z"):  # scikit-image clips it, as we do
        expected = by_skimage(lab2rgb, lab)
    assert (lab_to_rgb(lab) - expected).abs().max() < 1e-4


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_there_and_back(color):
    rgb = torch.tensor([color], dtype=torch.float32)[:, :, None, None]
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=2e-5, rtol=0)


def test_every_path_gives_the_same_values():
    rgb = torch.rand(3, 3, 260, 264, generator=torch.Generator().manual_seed(2))  # more than a piece an image
    lab = rgb_to_lab(rgb)
    with_gradient = rgb_to_lab(rgb.clone().requires_grad_())
    torch.testing.assert_close(lab, with_gradient.detach(), atol=2e-5, rtol=0)
    torch.testing.assert_close(rgb_to_lab(rgb.to(memory_format=torch.channels_last)), lab)
    torch.testing.assert_close(lightness(rgb), lab[:, :1])
    torch.testing.assert_close(ab_at_stride(rgb, 4), lab[:, 1:, ::4, ::4])
    torch.testing.assert_close(ab_at_stride(rgb, 4, offset=3), lab[:, 1:, 3::4, 3::4])
    small = torch.rand(40, 3, 8, 8)
    torch.testing.assert_close(rgb_to_lab(small)[17], rgb_to_lab(small[17:18])[0], atol=2e-5, rtol=0)


def test_autocast_takes_no_digits():
    rgb = torch.rand(2, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lab = rgb_to_lab(rgb)
    assert lab.dtype == torch.float32
    torch.testing.assert_close(lab, rgb_to_lab(rgb))


def test_a_target_is_a_sample_and_no_average():
    rgb = torch.zeros(1, 3, 8, 8)
    rgb[:, 0, ::4, ::4] = 1  # red points on black
    assert ab_at_stride(rgb, 4)[0, 0].flatten().tolist() == pytest.approx([80.0923] * 4, abs=TOLERANCE)
    assert not ab_at_stride(rgb, 4, offset=1).any()


@pytest.mark.parametrize("convert", [rgb_to_lab, lab_to_rgb, lightness])
def test_gradients_are_right(convert):
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(1, 3, 2, 3, dtype=torch.float64, generator=generator) * 0.8 + 0.1
    image[..., 0] *= 0.1  # the linear toes
    if convert is lab_to_rgb:
        image = rgb_to_lab(image)
    assert torch.autograd.gradcheck(convert, image.requires_grad_())


def test_gradients_are_finite_everywhere():
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.04045, 1.0])] * 3)
    rgb = as_image(corners).requires_grad_()
    rgb_to_lab(rgb).sum().backward()
    far = torch.cartesian_prod(
        torch.tensor([0.0, 8.0, 50.0, 100.0]), *[torch.tensor([-128.0, 0.0, 128.0])] * 2
    )
    lab = as_image(far).requires_grad_()
    lab_to_rgb(lab).sum().backward()
    assert torch.isfinite(rgb.grad).all()
    assert torch.isfinite(lab.grad).all()
    assert lab.grad.any()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"rgb must be a floating-point \(B, 3, H, W\).*uint8"):
        rgb_to_lab(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"lab must be .*\(3, 4, 4\)"):
        lab_to_rgb(torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match=r"stride must divide .* 6x8; got 4"):
        ab_at_stride(torch.zeros(1, 3, 6, 8), 4)
    with pytest.raises(ValueError, match=r"offset must be in \[0, 4\); got 4|offset .* got 4"):
        ab_at_stride(torch.zeros(1, 3, 8, 8), 4, offset=4)


def test_an_empty_batch_stays_empty():
    assert rgb_to_lab(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 8, 8)
    assert np.prod(ab_at_stride(torch.zeros(0, 3, 8, 8)).shape) == 0
