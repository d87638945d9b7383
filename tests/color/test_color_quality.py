"""Colour quality against its definition, hand counts and the ordering that real photographs must show."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from pretext.color import (
    N_BINS,
    ColorErrors,
    area_under_curve,
    color_errors,
    empirical_prior,
    error_curve,
    has_color,
    nearest_bin,
    psnr,
    rgb_to_lab,
)

ONES = torch.ones(N_BINS)
PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "tiny_imagenet200_val.npz"


def some_colors(seed: int, count: int = 6) -> Tensor:
    return (torch.rand(count, 2, 20, 30, generator=torch.Generator().manual_seed(seed)) - 0.5) * 180


def test_the_truth_has_100_and_the_farthest_0():
    ab = some_colors(0)
    assert area_under_curve(color_errors(ab, ab, ONES)) == (100, 100)
    assert area_under_curve(color_errors(ab + 1000, ab, ONES)) == (0, 0)


def test_gray_for_a_mean_chroma_of_16_35():
    truth = torch.zeros(1, 2, 1, 2)
    truth[0, 0, 0, 0], truth[0, 1, 0, 1] = 10, -22.7
    assert area_under_curve(color_errors(torch.zeros_like(truth), truth, ONES)).plain == pytest.approx(89.1)


def test_equals_the_integral_of_the_curve():
    ab, truth = some_colors(0), some_colors(1)
    distance = (ab - truth).square().sum(1).sqrt()
    thresholds = torch.arange(0, 150, 0.01) + 0.005
    ordered = distance.flatten().sort().values
    shares = torch.searchsorted(ordered, thresholds, right=True) / len(ordered)
    found = area_under_curve(color_errors(ab, truth, ONES)).plain
    assert found == pytest.approx(100 * shares.mean().item(), abs=1e-2)
    assert found == pytest.approx(100 * (1 - (distance.clamp(max=150).mean() / 150).item()), abs=1e-4)
    curve = error_curve(ab, truth)
    torch.testing.assert_close(
        curve.mean(0), torch.stack([(distance <= t).float().mean() for t in range(151)])
    )
    assert 100 * torch.trapezoid(curve.mean(0)).item() / 150 == pytest.approx(found, abs=0.05)


def test_the_curve_of_a_known_error():
    truth = torch.zeros(1, 2, 1, 4)
    ab = truth.clone()
    ab[0, 0, 0] = torch.tensor([0, 3, 3.5, 200])
    curve = error_curve(ab, truth)[0]
    assert curve[[0, 2, 3, 4, 150]].tolist() == [0.25, 0.25, 0.5, 0.75, 0.75]


def test_the_balanced_area_counts_bins_alike():
    truth = torch.zeros(1, 2, 1, 10)
    truth[0, 0, 0, 9] = 60  # one pixel in ten
    prior_weights = torch.ones(N_BINS)
    prior_weights[nearest_bin(truth)[0, 0, 0]] = 1 / 0.9
    prior_weights[nearest_bin(truth)[0, 0, 9]] = 1 / 0.1
    found = area_under_curve(color_errors(torch.zeros_like(truth), truth, prior_weights))
    assert found.plain == pytest.approx(100 * (1 - 6 / 150))
    assert found.balanced == pytest.approx(100 * (1 - 30 / 150))


def test_weights_of_one_make_both_areas_equal():
    found = area_under_curve(color_errors(some_colors(0), some_colors(1), ONES))
    assert found.plain == pytest.approx(found.balanced)


def test_sums_add_up_over_batches_and_images():
    ab, truth, weights = some_colors(0), some_colors(1), torch.rand(N_BINS) + 0.1
    whole = color_errors(ab, truth, weights)
    parts = [color_errors(a, t, weights) for a, t in zip(ab.split(4), truth.split(4), strict=True)]
    joined = ColorErrors(*(torch.cat(sums) for sums in zip(*parts, strict=True)))
    assert area_under_curve(joined) == pytest.approx(area_under_curve(whole))
    chosen = torch.tensor([5, 0, 0])  # as a bootstrap draws
    picked = ColorErrors(*(sums[chosen] for sums in whole))
    assert area_under_curve(picked) == pytest.approx(
        area_under_curve(color_errors(ab[chosen], truth[chosen], weights))
    )


def test_psnr_agrees_with_skimage():
    rgb, truth = torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16)
    for found, one, other in zip(psnr(rgb, truth), rgb, truth, strict=True):
        expected = peak_signal_noise_ratio(other.numpy(), one.numpy(), data_range=1)
        assert found.item() == pytest.approx(expected, rel=1e-5)
    assert psnr(truth, truth).tolist() == [float("inf")] * 3
    assert psnr(torch.full((1, 3, 4, 4), 0.1), torch.zeros(1, 3, 4, 4)).item() == pytest.approx(20)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"must both be \(B, 2, H, W\)"):
        color_errors(some_colors(0), some_colors(1)[:1], ONES)
    with pytest.raises(ValueError, match="at least one image"):
        area_under_curve(color_errors(torch.zeros(0, 2, 4, 4), torch.zeros(0, 2, 4, 4), ONES))
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))


def photographs(count: int) -> Tensor:
    archive = np.load(PHOTOGRAPHS)
    data, offsets = archive["data"], archive["offsets"]
    images = [
        np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB"))
        for i in range(count)
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255


@pytest.mark.skipif(
    not PHOTOGRAPHS.exists(), reason="the photographs of Tiny ImageNet are not on this machine"
)
def test_gray_beats_the_colors_of_another_photograph():
    rgb = photographs(300)
    truth = rgb_to_lab(rgb)[:, 1:]
    rgb, truth = rgb[has_color(truth)], truth[has_color(truth)]
    weights = empirical_prior([rgb]).weights(0)
    gray = area_under_curve(color_errors(torch.zeros_like(truth), truth, weights))
    random = area_under_curve(color_errors(truth.roll(1, 0), truth, weights))
    assert 100 > gray.plain > random.plain
    assert gray.balanced > random.balanced
    assert gray.plain > gray.balanced + 10
    assert 85 < gray.plain < 93  # 89.1 on ImageNet
