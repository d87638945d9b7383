"""Decoding and upsampling against definitions and known answers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pretext.color import N_BINS, ab_at_stride, annealed_mean, bins, rgb_to_lab, soft_encode, upsample_ab

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def some_logits(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(3, N_BINS, 6, 7, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 4


def by_definition(logits: Tensor, temperature: float) -> Tensor:
    probabilities = logits.double().softmax(1)
    sharpened = (probabilities.log() / temperature).exp()
    sharpened = sharpened / sharpened.sum(1, keepdim=True)
    return torch.tensordot(sharpened, bins().double(), ([1], [0])).permute(0, 3, 1, 2)


@pytest.mark.parametrize("temperature", [0.1, 0.38, 1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_the_definition(layout, temperature):
    logits = some_logits().to(memory_format=layout)
    expected = by_definition(logits, temperature).float()
    torch.testing.assert_close(annealed_mean(logits, temperature), expected, atol=2e-4, rtol=1e-5)
    with_gradient = annealed_mean(logits.clone().requires_grad_(), temperature)
    torch.testing.assert_close(with_gradient.detach(), expected, atol=2e-4, rtol=1e-5)


def test_the_default_is_the_papers():
    logits = some_logits()
    torch.testing.assert_close(annealed_mean(logits), annealed_mean(logits, 0.38))


def test_the_mean_of_an_encoded_color():
    targets = soft_encode(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1))
    logits = torch.full((1, N_BINS, 1, 1), -torch.inf).scatter_(1, targets.bins, targets.weights.log())
    assert annealed_mean(logits, 1).flatten().tolist() == pytest.approx([2.883, 3.947], abs=6e-4)


def test_the_mode_is_the_limit():
    logits = some_logits()
    mode = annealed_mean(logits, 0)
    assert torch.equal(mode, bins()[logits.argmax(1)].permute(0, 3, 1, 2))
    torch.testing.assert_close(annealed_mean(logits, 1e-4), mode)


def test_uniform_logits_give_the_mean_of_the_bins():
    mean = [4910 / 313, 2090 / 313]
    assert annealed_mean(torch.zeros(1, N_BINS, 1, 1)).flatten().tolist() == pytest.approx(mean, rel=1e-5)


def test_a_shift_changes_nothing_and_large_logits_do_not_overflow():
    logits = some_logits()
    torch.testing.assert_close(annealed_mean(logits + 50), annealed_mean(logits), atol=2e-3, rtol=1e-4)
    assert annealed_mean(logits * 1e4).isfinite().all()
    assert annealed_mean(logits - 1e4).isfinite().all()


def test_autocast_does_not_round_the_colors():
    logits = some_logits()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ab = annealed_mean(logits)
    torch.testing.assert_close(ab, annealed_mean(logits))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_right(layout):
    logits = some_logits(torch.float64)[:1, :, :1, :2].clone().contiguous(memory_format=layout)
    assert torch.autograd.gradcheck(annealed_mean, logits.requires_grad_())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"logits must be \(B, 313, h, w\); got \(1, 2, 4, 4\)"):
        annealed_mean(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match="temperature must be >= 0; got -1"):
        annealed_mean(some_logits(), -1)


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_upsampling_puts_colors_back_where_they_were_sampled(offset):
    rgb = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    sampled = ab_at_stride(rgb, 4, offset=offset)
    full = upsample_ab(sampled, (16, 24), offset=offset)
    truth = rgb_to_lab(rgb)[:, 1:, offset::4, offset::4]
    torch.testing.assert_close(full[:, :, offset::4, offset::4], truth, atol=1e-3, rtol=0)


def test_upsampling_is_linear_between_samples():
    ramp = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 2, 3, 5)
    full = upsample_ab(ramp, (12, 20))
    expected = (torch.arange(20) / 4).clamp(max=4)
    torch.testing.assert_close(full, expected.expand(1, 2, 12, 20))


@pytest.mark.parametrize("size", [(12, 20), (24, 40), (3, 5)])
def test_half_pixel_offset_equals_torch(size):
    ab = torch.randn(2, 2, 3, 5, dtype=torch.float64)
    offset = (size[0] / 3 - 1) / 2
    expected = F.interpolate(ab, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample_ab(ab, size, offset=offset), expected, atol=1e-5, rtol=0)


def test_one_sample_fills_the_image():
    full = upsample_ab(torch.tensor([7.0, -3.0]).view(1, 2, 1, 1), (4, 4))
    torch.testing.assert_close(full, torch.tensor([7.0, -3.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4))
