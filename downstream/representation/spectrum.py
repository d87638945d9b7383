"""How many directions a representation uses, from the spectrum of its features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from downstream.protocol import Rows

EPSILON = 1e-7
"""Added to each share of the singular values, as arXiv:2210.02885 does in single precision."""


def rankme(spectrum: NDArray[np.float64]) -> float:
    """RankMe (arXiv:2210.02885, equation 1): exp of the entropy of the singular values' shares.

    Args:
        spectrum: singular values (K,) of the features (N, D), which are not centred.

    Returns:
        From 1, one direction, to K, all alike; 0 for features that are all zero.
    """
    total = spectrum.sum()
    return float(np.exp(entr(spectrum / total + EPSILON).sum())) if total > 0 else 0.0


def effective_rank(variances: NDArray[np.float64]) -> float:
    """Exp of the entropy of each principal component's share of the variance (Roy & Vetterli, 2007).

    Args:
        variances: eigenvalues (D,) of the covariance.

    Returns:
        From 1 to D; 0 for features that do not vary.
    """
    total = variances.sum()
    return float(np.exp(entr(variances / total).sum())) if total > 0 else 0.0


@dataclass(frozen=True)
class RankShare:
    """A rank of rows["features"] (N, D) over D: 1 if all directions are used alike.

    It takes more images than channels to come near 1.

    rank: of the square roots of the eigenvalues of the second moments where `centred` is false, of the
        eigenvalues of the covariance where it is true.
    """

    rank: Callable[[NDArray[np.float64]], float]
    centred: bool

    def __call__(self, rows: Rows) -> float:
        """The metric of these rows."""
        return self.counted(rows)(np.ones(len(rows["features"]), dtype=np.int64))

    def counted(self, rows: Rows) -> Callable[[NDArray[np.int64]], float]:
        """The metric of any multiset of these rows (see `downstream.metrics.bootstrap`)."""
        features = np.asarray(rows["features"], dtype=np.float64)

        def of(counts: NDArray[np.int64]) -> float:
            moments = _moments(features, counts, self.centred)
            eigenvalues = np.linalg.eigvalsh(moments).clip(min=0)
            found = self.rank(eigenvalues if self.centred else np.sqrt(eigenvalues))
            # The epsilon may lead beyond 1 by 1e-6.
            return float(min(1.0, found / features.shape[1]))

        return of


def _moments(features: NDArray[np.float64], counts: NDArray[Any], centred: bool) -> NDArray[np.float64]:
    """Mean (D, D) of the products of two channels, example i taken counts[i] times."""
    if centred:
        features = features - counts @ features / counts.sum()
    return np.asarray((features * counts[:, None]).T @ features / counts.sum())
