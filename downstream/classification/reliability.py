"""Whether predicted probabilities hold what they say: calibration error, Brier score, likelihood.

Rows are {"scores": (N, C) logits, "temperature": (N,), "labels"}. Labels (N,) belong to a softmax over
classes, labels (N, C) of 0 and 1 to a sigmoid for each class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from downstream.metrics.bootstrap import Additive, example_mean
from downstream.metrics.scores import top_k_hits
from downstream.protocol import Predictions

BINS = 15
"""Of equal width, as arXiv:1706.04599."""

LOG_TEMPERATURES = (-7.0, 7.0)
"""Where the temperature is looked for: 1/1000 to 1000."""


def calibration(scaled: bool) -> Additive:
    """Expected calibration error (arXiv:1706.04599, section 2) in 15 bins.

    One class an image: confidence of the predicted class against how often it is right. Several: the
    probability of each class against how often it is there, over all images and classes.

    scaled: logits are divided by the row's temperature first.
    """

    def gaps(rows: Predictions) -> NDArray[np.float64]:
        """Confidence minus hits by bin (N, BINS), as shares of one image."""
        scores, labels = _logits(rows, scaled), np.asarray(rows["labels"])
        if labels.ndim == 2:
            confidence, hits = expit(scores), labels.astype(np.float64)
        else:
            confidence = softmax(scores, axis=1).max(1, keepdims=True)
            hits = top_k_hits(scores, labels, 1)[:, None]
        n, columns = confidence.shape
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)  # (N, columns)
        cell = np.arange(n)[:, None] * BINS + bins
        total = np.bincount(cell.ravel(), weights=(confidence - hits).ravel(), minlength=n * BINS)
        return np.asarray(total.reshape(n, BINS) / columns)

    return Additive(gaps, lambda total, examples: float(np.abs(total).sum() / examples))


def brier(scaled: bool) -> Additive:
    """Brier score: squared distance of probabilities and labels, brought to [0, 1].

    Half the sum over classes where they exclude each other, the mean over classes where they do not.
    """

    def values(rows: Predictions) -> NDArray[np.float64]:
        scores, labels = _logits(rows, scaled), np.asarray(rows["labels"])
        if labels.ndim == 2:
            return np.asarray(np.square(expit(scores) - labels).mean(1))
        probability = softmax(scores, axis=1)
        probability[np.arange(len(labels)), labels] -= 1
        return np.asarray(np.square(probability).sum(1) / 2)

    return example_mean(values)


def likelihood(scaled: bool) -> Additive:
    """Negative log-likelihood of the labels, in nats: the mean over images, and over classes of several.

    scaled: logits are divided by the row's temperature first.
    """
    return example_mean(lambda rows: _surprise(_logits(rows, scaled), np.asarray(rows["labels"])))


def temperature(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """The T that makes logits / T most likely (temperature scaling, arXiv:1706.04599, section 4.2).

    The likelihood has one maximum in 1/T; where it lies at infinity (all right, or all wrong), the end of
    1/1000 … 1000 is returned.

    Args:
        scores: (N, C) logits. labels: (N,) integers, or (N, C) of 0 and 1.
    """
    logits = np.asarray(scores, dtype=np.float64)

    def loss(log_t: float) -> float:
        return float(_surprise(logits / np.exp(log_t), labels).mean())

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _surprise(logits: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Negative log-likelihood (N,) of the labels of each image."""
    if labels.ndim == 2:
        return np.asarray(-np.where(labels == 1, log_expit(logits), log_expit(-logits)).mean(1))
    return np.asarray(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels])


def _logits(rows: Predictions, scaled: bool) -> NDArray[np.float64]:
    scores = np.asarray(rows["scores"], dtype=np.float64)
    return scores / np.asarray(rows["temperature"], dtype=np.float64)[:, None] if scaled else scores
