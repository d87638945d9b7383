"""How many directions a representation uses, as a metric of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.protocol import Predictions


@dataclass(frozen=True)
class RankShare:
    """A rank of rows["features"] (N, D) over D: 1 if all directions are used alike.

    It takes more images than channels to come near 1.

    rank: of the square roots of the eigenvalues of the second moments where `centred` is false, of the
        eigenvalues of the covariance where it is true.
    """

    rank: Callable[[NDArray[np.float64]], float]
    centred: bool

    def __call__(self, rows: Predictions) -> float:
        """The metric of these rows."""
        return self.counted(rows)(np.ones(len(rows["features"]), dtype=np.int64))

    def counted(self, rows: Predictions) -> Callable[[NDArray[np.int64]], float]:
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
