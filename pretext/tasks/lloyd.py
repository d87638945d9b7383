"""Lloyd's k-means on the device of the points, on a CPU the same to the bit for the same start.

Written out because scikit-learn's sums over threads in an order that changes, so that a resumed run would
find other clusters, and because the features of a large set lie on a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

AT_ONCE = 4096
"""Points that are compared with all centroids at once."""


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Assign points (N, D) to centroids (k, D): indices (N,) int64 and squared distances (N,)."""
    length = centroids.square().sum(dim=1)  # (k,)
    found = [
        torch.min(length - 2 * part @ centroids.T, dim=1)  # |x|² is the same for all centroids
        for part in torch.split(points, AT_ONCE)
    ]
    distance = torch.cat([values for values, _ in found]) + points.square().sum(dim=1)
    return torch.cat([index for _, index in found]), distance.clamp(min=0)


def lloyd(points: Tensor, centroids: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Move centroids to the means of their points so many times, or until no point changes its cluster.

    Clusters that have lost all their points are given those that lie farthest from their own centroids.

    Args:
        points: (N, D) float.
        centroids: (k, D) to start from, k ≤ N.

    Returns: centroids (k, D), and the index (N,) int64 of each point's nearest.
    """
    k = len(centroids)
    assigned, distance = nearest(points, centroids)
    for _ in range(iterations):
        empty = torch.nonzero(torch.bincount(assigned, minlength=k) == 0)[:, 0]
        assigned[distance.argsort(descending=True, stable=True)[: len(empty)]] = empty
        sums = torch.zeros_like(centroids).index_add_(0, assigned, points)
        counts = torch.bincount(assigned, minlength=k).clamp(min=1)
        centroids = sums / counts[:, None]
        before, (assigned, distance) = assigned, nearest(points, centroids)
        if torch.equal(before, assigned):
            break
    return centroids, assigned
