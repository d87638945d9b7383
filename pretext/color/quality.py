"""How near predicted colours are to the true ones: AuC, plain and class-balanced, and PSNR.

After Zhang, Isola & Efros 2016 (arXiv:1603.08511), section 3.1: the share of pixels whose ab-L2 error is at
most t, integrated over t = 0…150. Normalised, the integral is exactly 1 - E[min(error, 150)] / 150, so
that sums over an image's pixels are all that has to be kept.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pretext.color.encode import nearest_bin

MAX_ERROR = 150.0


class ColorErrors(NamedTuple):
    """Sums over the pixels of each image; concatenate them over batches, pick rows to resample images."""

    error: Tensor  # (B,), sum of min(d, 150), d the ab-L2 error
    weight: Tensor  # (B,), number of pixels
    balanced_error: Tensor  # (B,), sum of w min(d, 150), w the weight of the true colour's bin
    balanced_weight: Tensor  # (B,), sum of w


class AuC(NamedTuple):
    """Areas under the error curve in percent; 100 is the truth, gray for a mean chroma of 16.35 has 89.1."""

    plain: float
    balanced: float


def color_errors(ab: Tensor, truth: Tensor, bin_weights: Tensor) -> ColorErrors:
    """Errors of each image.

    Args:
        ab: predicted, (B, 2, H, W).
        truth: (B, 2, H, W).
        bin_weights: (313,), from ``Prior.weights(0)``: all bins count alike.

    Raises:
        ValueError: shapes differ.
    """
    error = _error(ab, truth).clamp(max=MAX_ERROR)
    weight = bin_weights.to(error)[nearest_bin(truth)]
    return ColorErrors(
        error=error.sum((1, 2)),
        weight=torch.ones_like(error).sum((1, 2)),
        balanced_error=(error * weight).sum((1, 2)),
        balanced_weight=weight.sum((1, 2)),
    )


def area_under_curve(errors: ColorErrors) -> AuC:
    """AuC over all images of ``errors``, each pixel counting once (plain) or by its weight (balanced).

    Raises:
        ValueError: there is no image.
    """
    if not len(errors.error):
        raise ValueError("the area under the curve needs at least one image; got none")
    error, weight, balanced_error, balanced_weight = (float(sums.double().sum()) for sums in errors)
    return AuC(
        plain=100 * (1 - error / (MAX_ERROR * weight)),
        balanced=100 * (1 - balanced_error / (MAX_ERROR * balanced_weight)),
    )


def error_curve(ab: Tensor, truth: Tensor) -> Tensor:
    """Share of each image's pixels whose ab-L2 error is at most t, for t = 0, 1, …, 150.

    Args:
        ab: predicted, (B, 2, H, W).
        truth: (B, 2, H, W).

    Returns:
        (B, 151), float32, in [0, 1]: the curve whose area is the plain AuC.
    """
    error = _error(ab, truth).flatten(1)  # (B, HW)
    last = int(MAX_ERROR) + 1
    first_threshold = error.ceil().clamp(max=last).long()
    counts = torch.zeros(len(error), last + 1, device=error.device)
    counts.scatter_add_(1, first_threshold, torch.ones_like(error, dtype=counts.dtype))
    return counts.cumsum(1)[:, :last] / error.shape[1]


def psnr(rgb: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of RGB in [0, 1], in dB: (B, 3, H, W) twice -> (B,); inf where equal."""
    if rgb.shape != truth.shape:
        raise ValueError(
            f"rgb and truth must have one shape; got {tuple(rgb.shape)} and {tuple(truth.shape)}"
        )
    return -10 * (rgb - truth).square().flatten(1).mean(1).log10()


def _error(ab: Tensor, truth: Tensor) -> Tensor:
    if ab.shape != truth.shape or ab.dim() != 4 or ab.shape[1] != 2:
        raise ValueError(
            f"ab and truth must both be (B, 2, H, W); got {tuple(ab.shape)} and {tuple(truth.shape)}"
        )
    error: Tensor = torch.linalg.vector_norm(ab - truth, dim=1)  # (B, H, W)
    return error
