"""What is kept of each coloured image: sums from which every measure of any images can be made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from downstream.colorization.colourfulness import colourfulness, colourfulness_of_magnitudes
from downstream.protocol import Predictions
from pretext.color import N_BINS, color_errors, lab_to_rgb, nearest_bin, psnr, rgb_to_lab
from pretext.color.quality import MAX_ERROR

MOST_PSNR = 100.0
"""dB; stands for the infinite value of an image that came back exactly."""

WINDOW = 11
"""Pixels of the Gaussian window of SSIM (σ 1.5); a smaller image has no SSIM."""


def rows(ab: Tensor, truth: Tensor, bin_weights: Tensor, picture: Tensor | None = None) -> Predictions:
    """Compare coloured images with the originals, whose lightness they keep.

    What has to be a picture, for all but the errors in ab, is made one as it would be saved: in 8 bits, what
    lies outside RGB's cube brought to it.

    Args:
        ab: predicted, (B, 2, H, W), at the images' own size.
        truth: RGB (B, 3, H, W) in [0, 1].
        bin_weights: (313,), by which all bins of the training colours count alike (`Prior.weights(0)`).
        picture: `painted(ab, truth)`, where it is at hand.

    Returns: by name, an entry an image: `error` and `weight` are sums of min(d, 150) and of pixels, d the
        distance in ab, `balanced_error` and `balanced_weight` the same by the bin of the true colour;
        `within` (B, 151), pixels with d ≤ 0, 1, … 150; `squared_error` the sum of d²; `psnr` in dB; `ssim`,
        mean over channels, of images of `WINDOW` pixels
        and more alone; four of colourfulness; `bins` and `true_bins` (B, 313), pixels by colour.

    Raises:
        ValueError: shapes that do not fit, or a predicted colour that is not finite.
    """
    if not bool(torch.isfinite(ab).all()):
        raise ValueError("a predicted colour is not finite")
    lab = rgb_to_lab(truth)
    errors = color_errors(ab, lab[:, 1:], bin_weights)
    picture, original = painted(ab, truth) if picture is None else picture, saved(truth)
    found = {
        "error": errors.error,
        "weight": errors.weight,
        "balanced_error": errors.balanced_error,
        "balanced_weight": errors.balanced_weight,
        "within": within(torch.linalg.vector_norm(ab - lab[:, 1:], dim=1)),
        "squared_error": (ab - lab[:, 1:]).square().sum((1, 2, 3)),
        "psnr": psnr(picture, original).clamp(max=MOST_PSNR),
        "colourfulness": colourfulness(picture),
        "true_colourfulness": colourfulness(original),
        "magnitudes": colourfulness_of_magnitudes(picture),
        "true_magnitudes": colourfulness_of_magnitudes(original),
        "bins": counts(rgb_to_lab(picture)[:, 1:]),
        "true_bins": counts(lab[:, 1:]),
    }
    if has_window(truth.shape[-2:]):
        found["ssim"] = similarity(picture, original)
    return {name: np.asarray(values.double().cpu().numpy()) for name, values in found.items()}


def within(distance: Tensor) -> Tensor:
    """Pixels of each image whose distance (B, H, W) is at most 0, 1, … `MAX_ERROR`: (B, MAX_ERROR + 1)."""
    steps = distance.double().ceil().clamp(max=MAX_ERROR + 1).long().flatten(1)
    found = torch.zeros(len(steps), int(MAX_ERROR) + 2, dtype=torch.float64, device=steps.device)
    found.scatter_add_(1, steps, torch.ones_like(steps, dtype=torch.float64))
    return found[:, :-1].cumsum(1)


def has_window(size: Sequence[int]) -> bool:
    """Whether images of this height and width are large enough for SSIM."""
    return min(size) >= WINDOW


def painted(ab: Tensor, truth: Tensor) -> Tensor:
    """The coloured picture: ab (B, 2, H, W) over the lightness of RGB (B, 3, H, W), as it would be saved."""
    return saved(lab_to_rgb(torch.cat([rgb_to_lab(truth)[:, :1], ab], 1)))


def saved(rgb: Tensor) -> Tensor:
    """A picture as it comes back from a file of 8 bits a channel."""
    return (rgb.clamp(0, 1) * 255).round() / 255


def similarity(picture: Tensor, original: Tensor) -> Tensor:
    """SSIM of each image (B,), mean over channels and places that have the whole window.

    As published (doi:10.1109/TIP.2003.819861): windows over the border do not count, as they do in others.
    """
    pairs = zip(*(x.double().permute(0, 2, 3, 1).cpu().numpy() for x in (picture, original)), strict=True)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    found = [structural_similarity(*pair, channel_axis=2, **settings) for pair in pairs]
    return torch.tensor(found)


def counts(ab: Tensor) -> Tensor:
    """Pixels of each image by the nearest of the 313 colours: (B, 2, H, W) → (B, 313)."""
    index = nearest_bin(ab).flatten(1).long()  # (B, HW)
    found = torch.zeros(len(index), N_BINS, dtype=torch.float64, device=ab.device)
    return found.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float64))
