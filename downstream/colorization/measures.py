"""What is said of coloured images, each with its unit and its direction."""

from __future__ import annotations

import numpy as np

from downstream.colorization.rows import MOST_PSNR
from downstream.protocol import Direction, Measure, Predictions, Scale
from pretext.color.quality import MAX_ERROR

AB = Scale("ab", Direction.LOWER, (0.0, None))
CLOSER = Scale("levels", Direction.LOWER, (0.0, None))


def auc(rows: Predictions) -> float:
    """Area under the share of pixels whose ab distance is at most t, t = 0 … 150: 1 − E[min(d, 150)] / 150.

    That is exact. Seven conventions of it are in use; on the same errors they differ by up to 2.7 points.
    """
    return float(1 - rows["error"].sum() / (MAX_ERROR * rows["weight"].sum()))


def auc_balanced(rows: Predictions) -> float:
    """The same, every colour of the training set counting alike, pooled over all pixels."""
    return float(1 - rows["balanced_error"].sum() / (MAX_ERROR * rows["balanced_weight"].sum()))


def rmse(rows: Predictions) -> float:
    """Root of the mean squared error of a and of b, over all pixels and both."""
    return float(np.sqrt(rows["squared_error"].sum() / (2 * rows["weight"].sum())))


def psnr(rows: Predictions) -> float:
    """Mean over images, of RGB in 8 bits. It measures lightness mostly, which no system changes."""
    return float(rows["psnr"].mean())


def ssim(rows: Predictions) -> float:
    """Mean over images that are large enough for its window."""
    return float(np.nanmean(rows["ssim"])) if not np.isnan(rows["ssim"]).all() else float("nan")


def colourfulness_gap(rows: Predictions) -> float:
    """|mean colourfulness − that of the originals|: "ΔCF" between means, not a mean of differences."""
    return float(abs(rows["colourfulness"].mean() - rows["true_colourfulness"].mean()))


def magnitudes_gap(rows: Predictions) -> float:
    """The same of |rg| and |yb|, as recent papers have it."""
    return float(abs(rows["magnitudes"].mean() - rows["true_magnitudes"].mean()))


def histogram_distance(rows: Predictions) -> float:
    """Half of Σ |p − q| over the shares of 313 colours, of all pixels: 0 alike, 1 nothing in common."""
    shares = (rows[name].sum(0) / rows[name].sum() for name in ("bins", "true_bins"))
    return float(np.abs(np.subtract(*shares)).sum() / 2)


MEASURES = {
    "auc": Measure(auc),
    "auc_balanced": Measure(auc_balanced),
    "rmse_ab": Measure(rmse, AB),
    "psnr": Measure(psnr, Scale("dB", Direction.HIGHER, (0.0, MOST_PSNR))),
    "ssim": Measure(ssim, Scale("SSIM", Direction.HIGHER, (-1.0, 1.0))),
    "colourfulness_gap": Measure(colourfulness_gap, CLOSER),
    "magnitudes_gap": Measure(magnitudes_gap, CLOSER),
    "histogram_distance": Measure(histogram_distance, Scale("fraction", Direction.LOWER, (0.0, 1.0))),
}
"""By name, the primary one first."""
