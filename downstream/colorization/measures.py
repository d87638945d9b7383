"""What is said of coloured images, each with its unit and its direction."""

from __future__ import annotations

import numpy as np

from downstream.colorization.reading import frechet
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
    """Mean over images."""
    return float(rows["ssim"].mean())


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


def read_rightly(rows: Predictions) -> float:
    """Share of images that a classifier trained on colours knows when they are coloured."""
    return float((rows["read_as"] == rows["label"]).mean())


def read_alike(rows: Predictions) -> float:
    """Share of images that such a classifier takes for the same, coloured and original; needs no labels."""
    return float((rows["read_as"] == rows["truly_read_as"]).mean())


def feature_distance(rows: Predictions) -> float:
    """Mean over images of 1 − the cosine between its features of the coloured image and of the original."""
    return float(rows["away"].mean())


def frechet_distance(rows: Predictions) -> float:
    """Fréchet distance between its features of all coloured images and of all originals."""
    return frechet(rows["features"], rows["true_features"])


MEASURES = {
    "auc": Measure(auc),
    "auc_balanced": Measure(auc_balanced, resampled=True),
    "rmse_ab": Measure(rmse, AB, resampled=True),
    "psnr": Measure(psnr, Scale("dB", Direction.HIGHER, (0.0, MOST_PSNR)), resampled=True),
    "ssim": Measure(ssim, Scale("of 1", Direction.HIGHER, (-1.0, 1.0)), resampled=True),
    "colourfulness_gap": Measure(colourfulness_gap, CLOSER, resampled=True),
    "magnitudes_gap": Measure(magnitudes_gap, CLOSER, resampled=True),
    "histogram_distance": Measure(
        histogram_distance, Scale("fraction", Direction.LOWER, (0.0, 1.0)), resampled=True
    ),
}
"""Of pixels alone, by name, the primary one first."""

READ = {
    "read_rightly": Measure(read_rightly, resampled=True),
    "read_alike": Measure(read_alike, resampled=True),
    "feature_distance": Measure(
        feature_distance, Scale("1 - cosine", Direction.LOWER, (0.0, 2.0)), resampled=True
    ),
    "frechet_distance": Measure(
        frechet_distance, Scale("Frechet", Direction.LOWER, (0.0, None)), resampled=True
    ),
}
"""What a reader adds; `read_rightly` where it knows the classes that images are labelled by."""
