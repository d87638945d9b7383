"""Agreement of clusters with labels; rows are {"cluster": (N,) integers from 0, "labels"}."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from downstream.metrics.scores import mean_over_classes
from downstream.protocol import Predictions


def normalized_mutual_information(rows: Predictions) -> float:
    """NMI of clusters and labels (N,): mutual information over the mean of the two entropies."""
    # Rounding may leave [0, 1] by 1e-16.
    return float(np.clip(normalized_mutual_info_score(rows["labels"], rows["cluster"]), 0, 1))


def adjusted_rand(rows: Predictions) -> float:
    """Adjusted Rand index of clusters and labels (N,); below chance, where it is negative, it counts as 0."""
    return max(0.0, float(adjusted_rand_score(rows["labels"], rows["cluster"])))


def matched_accuracy(rows: Predictions) -> float:
    """Accuracy when each cluster stands for one class, the best one-to-one match (Kuhn's Hungarian method).

    Where there are more clusters than classes, images of clusters without a class count as wrong.
    """
    counts = contingency_matrix(rows["labels"], rows["cluster"])  # (C, K)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


class Homogeneity:
    """How much of each label the cluster tells, where an image has several: labels (N, C) of 0 and 1.

    The mean over classes of I(label; cluster) / H(label), scikit-learn's `homogeneity_score` of each: 1 if
    the clusters determine every label. Classes that all images have, or none, are left out.
    """

    def __call__(self, rows: Predictions) -> float:
        """The metric of these rows."""
        return self.counted(rows)(np.ones(len(rows["cluster"]), dtype=np.int64))

    def counted(self, rows: Predictions) -> Callable[[NDArray[np.int64]], float]:
        """The metric of any multiset of these rows (see `downstream.metrics.bootstrap`)."""
        labels = np.asarray(rows["labels"], dtype=np.float64)  # (N, C)
        member = np.eye(int(rows["cluster"].max()) + 1)[rows["cluster"]]  # (N, K)

        def of(counts: NDArray[np.int64]) -> float:
            weighted = member * counts[:, None]
            with_label = weighted.T @ labels  # (K, C)
            size = weighted.sum(0)[:, None]  # (K, 1)
            return mean_over_classes(_homogeneity(with_label, size))

        return of


def _homogeneity(with_label: NDArray[Any], size: NDArray[Any]) -> NDArray[np.float64]:
    """1 − H(label | cluster) / H(label) of each class (C,), NaN where the label does not vary."""
    total = size.sum()
    within = _entropies(with_label, size).sum(0) / total
    prior = _entropies(with_label.sum(0), total) / total
    share = np.divide(within, prior, out=np.full(len(prior), np.nan), where=prior > 0)
    return np.asarray(np.clip(1 - share, 0, 1))


def _entropies(positive: NDArray[Any], size: NDArray[Any]) -> NDArray[np.float64]:
    """Entropy in nats of `positive` among `size` examples, times `size`."""
    negative = size - positive
    return np.asarray(xlogy(size, size) - xlogy(positive, positive) - xlogy(negative, negative))
