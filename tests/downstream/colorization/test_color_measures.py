"""Measures of coloured images: known answers, an independent library, and what resampling needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from downstream.colorization.colourfulness import colourfulness, colourfulness_of_magnitudes
from downstream.colorization.measures import MEASURES, psnr, ssim
from downstream.colorization.rows import painted, rows
from downstream.protocol import take
from pretext.color import N_BINS, rgb_to_lab

EVEN = torch.ones(N_BINS)


def photographs(count: int, side: int = 24) -> Tensor:
    """Smooth colours, all of them within RGB."""
    draw = torch.Generator().manual_seed(count)
    small = torch.rand(count, 3, 4, 4, generator=draw) * 0.8 + 0.1
    return torch.nn.functional.interpolate(small, (side, side), mode="bilinear", align_corners=False)


@pytest.mark.parametrize(
    ("picture", "signed", "magnitudes"),
    [
        ([[1, 0, 0], [1, 0, 0]], 85.53, 85.53),
        ([[0, 0, 1], [0, 0, 1]], 76.5, 76.5),
        ([[1, 0, 0], [0, 1, 0]], 293.25, 85.53),
        ([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]], 0.0, 0.0),
    ],
)
def test_colourfulness_by_hand(picture: list[list[float]], signed: float, magnitudes: float) -> None:
    rgb = torch.tensor(picture).float().T.view(1, 3, 1, 2)
    assert float(colourfulness(rgb)) == pytest.approx(signed, abs=0.01)
    assert float(colourfulness_of_magnitudes(rgb)) == pytest.approx(magnitudes, abs=0.01)


def test_colourfulness_of_random_colours() -> None:
    rgb = torch.rand(1, 3, 700, 700, generator=torch.Generator().manual_seed(0))
    assert float(colourfulness(rgb)) == pytest.approx(138.05, abs=0.5)
    assert float(colourfulness_of_magnitudes(rgb)) == pytest.approx(113.0, abs=0.5)


def test_the_truth_is_perfect_in_everything() -> None:
    truth = photographs(3)
    found = rows(rgb_to_lab(truth)[:, 1:], truth, EVEN)
    for name, measure in MEASURES.items():
        # 8 bits of a picture are not its own float colours: a few pixels fall into the next bin.
        assert measure(found) == pytest.approx(measure.scale.perfect, abs=0.02), name
    assert psnr(found) == 100


def test_a_gray_image_has_the_mean_chroma_as_its_error() -> None:
    truth = photographs(4)
    ab = rgb_to_lab(truth)[:, 1:]
    found = {name: measure(rows(torch.zeros_like(ab), truth, EVEN)) for name, measure in MEASURES.items()}
    chroma = ab.norm(dim=1)
    assert found["auc"] == pytest.approx(1 - float(chroma.mean()) / 150, abs=1e-6)
    assert found["rmse_ab"] == pytest.approx(float(ab.square().mean().sqrt()), rel=1e-5)
    assert found["colourfulness_gap"] == pytest.approx(float(colourfulness(truth).mean()), abs=0.6)


def test_psnr_is_scikit_images_and_ssim_torchmetrics_without_the_border() -> None:
    truth, other = photographs(3, 32), photographs(5, 32)[:3]
    ab = rgb_to_lab(other)[:, 1:] / 2  # inside of RGB's cube at another lightness
    found = rows(ab, truth, EVEN)
    decibel, similar = [], []
    for image, colours in zip(truth.permute(0, 2, 3, 1).numpy(), ab.permute(0, 2, 3, 1).numpy(), strict=True):
        lab = np.concatenate([rgb2lab(image.astype(np.float64))[..., :1], colours], 2)
        one, two = (np.rint(255 * x).astype(np.uint8) for x in (lab2rgb(lab), image))
        decibel.append(peak_signal_noise_ratio(two, one, data_range=255))
        pair = (torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (one, two))
        _, whole = structural_similarity_index_measure(*pair, data_range=255.0, return_full_image=True)
        similar.append(float(whole[..., 5:-5, 5:-5].mean()))
    assert psnr(found) == pytest.approx(np.mean(decibel), abs=0.02)
    assert ssim(found) == pytest.approx(np.mean(similar), abs=2e-3)


def test_balance_lets_a_rare_colour_count_like_a_common_one() -> None:
    truth = torch.zeros(1, 3, 8, 8)
    truth[:, 0], truth[:, 2, 0] = 0.6, 0.6  # red, with one row of purple
    ab = rgb_to_lab(truth)[:, 1:].clone()
    ab[:, :, 0] = ab[:, :, 1]  # the row is taken for red
    far = float((rgb_to_lab(truth)[0, 1:, 0, 0] - ab[0, :, 0, 0]).norm())
    weights = EVEN.clone()
    weights[rows_bin(truth[:, :, :1])] = 7.0
    found = rows(ab, truth, weights)
    assert MEASURES["auc"](found) == pytest.approx(1 - far / 8 / 150, abs=1e-5)
    assert MEASURES["auc_balanced"](found) == pytest.approx(1 - far / 2 / 150, abs=1e-5)


def rows_bin(rgb: Tensor) -> int:
    from pretext.color import nearest_bin

    return int(nearest_bin(rgb_to_lab(rgb)[:, 1:])[0, 0, 0])


def test_histograms_that_share_nothing_are_one_apart_wherever_pixels_lie() -> None:
    truth = photographs(2)
    mixed = truth.flatten(2)[
        :, :, torch.randperm(24 * 24, generator=torch.Generator().manual_seed(0))
    ].view_as(truth)
    alike = rows(rgb_to_lab(truth)[:, 1:], truth, EVEN)
    assert MEASURES["histogram_distance"](alike) < 0.02
    red = torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1).expand(1, 3, 12, 12)
    green = torch.tensor([0.1, 0.9, 0.1]).view(1, 3, 1, 1).expand(1, 3, 12, 12)
    assert MEASURES["histogram_distance"](rows(rgb_to_lab(green)[:, 1:], red, EVEN)) == 1
    assert MEASURES["histogram_distance"](rows(rgb_to_lab(mixed)[:, 1:], truth, EVEN)) < 0.25


def test_measures_are_of_any_images_in_any_order() -> None:
    truth, other = photographs(6), photographs(7)[:6]
    found = rows(rgb_to_lab(other)[:, 1:], truth, EVEN)
    index = np.array([5, 1, 1, 3, 0])
    again = rows(rgb_to_lab(other[index])[:, 1:], truth[index], EVEN)
    for name, measure in MEASURES.items():
        assert measure(take(found, index)) == pytest.approx(measure(again), rel=1e-6), name
        assert measure(take(found, index[::-1])) == pytest.approx(measure(again), rel=1e-9), name
        assert measure(found) in measure.scale


def test_a_picture_that_is_at_hand_is_not_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, other = photographs(3), photographs(5)[:3]
    ab = rgb_to_lab(other)[:, 1:]
    expected, picture = rows(ab, truth, EVEN), painted(ab, truth)
    monkeypatch.setattr("downstream.colorization.rows.painted", lambda *_: pytest.fail("painted again"))
    found = rows(ab, truth, EVEN, picture)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_bad_input_is_named() -> None:
    truth = photographs(1)
    with pytest.raises(ValueError, match="not finite"):
        rows(torch.full((1, 2, 24, 24), torch.nan), truth, EVEN)
    with pytest.raises(ValueError, match=r"\(B, 2, H, W\)"):
        rows(torch.zeros(1, 2, 12, 24), truth, EVEN)
    small = photographs(1, 8)
    assert "ssim" not in rows(torch.zeros(1, 2, 8, 8), small, EVEN)
