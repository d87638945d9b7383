"""What a classifier that was trained on colours makes of coloured images ("semantic interpretability").

After Zhang, Isola & Efros 2016 (arXiv:1603.08511), who had VGG-16 read them. The reader here is whatever one
has; its features also tell how far a picture, and all of them together, lie from the originals. They stand in
for LPIPS and FID, whose networks are somebody else's weights; no value is comparable with theirs.
"""

from __future__ import annotations

import typing

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from downstream.protocol import Predictions


class Reader(typing.Protocol):
    """A classifier of RGB images."""

    def __call__(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """RGB (B, 3, H, W) in [0, 1] → scores of its classes (B, C) and features (B, D)."""
        ...


def read(reader: Reader, picture: Tensor, original: Tensor) -> Predictions:
    """What a reader makes of pictures and of their originals, both (B, 3, H, W).

    Returns: `read_as` and `truly_read_as` (B,) classes; `features` and `true_features` (B, D); `away` (B,),
        1 − the cosine between both.
    """
    (scores, features), (true_scores, true_features) = reader(picture), reader(original)
    found = {
        "read_as": scores.argmax(1),
        "truly_read_as": true_scores.argmax(1),
        "features": features,
        "true_features": true_features,
        "away": 1 - F.cosine_similarity(features.double(), true_features.double(), dim=1).clamp(-1, 1),
    }
    return {name: np.asarray(values.double().cpu().numpy()) for name, values in found.items()}


def frechet(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Squared Fréchet distance of two Gaussians, fitted to features (N, D) and (M, D) (arXiv:1706.08500).

    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½. Of N images below D it is biased upwards; rows of a table are
    of the same images, which a value of another table is not.
    """
    (mean, cov), (other_mean, other_cov) = (_moments(x) for x in (first, second))
    root = _root(cov)
    # Σ₁ Σ₂ has the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric.
    mixed = np.linalg.eigvalsh(root @ other_cov @ root).clip(0)
    apart = float(((mean - other_mean) ** 2).sum())
    return max(apart + float(np.trace(cov) + np.trace(other_cov) - 2 * np.sqrt(mixed).sum()), 0.0)


def _moments(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = features.mean(0)
    away = features - mean
    return mean, away.T @ away / max(len(features) - 1, 1)


def _root(cov: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(cov)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)
