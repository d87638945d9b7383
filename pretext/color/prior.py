"""The empirical colour prior of a data set, its rebalancing weights and its chance level.

After Zhang, Isola & Efros 2016 (arXiv:1603.08511). Compute it from the data that is trained on: the prior of
another data set turns images green.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from pretext.atomic import replacing
from pretext.color.encode import has_color, soft_encode
from pretext.color.gamut import N_BINS, bins
from pretext.color.lab import ab_at_stride


class Chance(NamedTuple):
    """Cross-entropies, in nats, of the best predictors that see no image (uniform over the bins: ln 313)."""

    hard: float  # against one-hot targets, the nearest bins: the entropy of the empirical prior
    soft: float  # the unbalanced loss against soft targets
    balanced: float  # the balanced loss against soft targets, of the predictor that is best for it


@dataclass(frozen=True, eq=False)
class Prior:
    """How often colours occur, counted over the positions of coloured images.

    Attributes:
        joint: (313, 313), float64, on the CPU: entry (n, q) sums the soft target's weight of bin q over all
            positions whose nearest bin is n. Rows sum to the empirical counts.
        sigma: of the Gaussian of the soft targets, in ab units; also smooths the prior.
    """

    joint: Tensor
    sigma: float = 5.0

    def __post_init__(self) -> None:
        if self.joint.shape != (N_BINS, N_BINS) or self.joint.dtype != torch.float64:
            shape = tuple(self.joint.shape)
            raise ValueError(f"joint must be ({N_BINS}, {N_BINS}) float64; got {shape}, {self.joint.dtype}")
        if not bool(torch.isfinite(self.joint).all()):
            raise ValueError("joint is not finite: a colour that was counted was NaN or infinite")
        if not bool((self.joint >= 0).all()) or self.joint.sum() == 0:
            raise ValueError("the prior counts no colour: it needs at least one image that is not gray")

    @property
    def probabilities(self) -> Tensor:
        """Empirical frequencies of the nearest bins: (313,), float64."""
        counts = self.joint.sum(1)
        return counts / counts.sum()

    @property
    def smoothed(self) -> Tensor:
        """The frequencies smoothed by the targets' Gaussian, cut at 3 sigma: (313,), float64, sums to 1."""
        return self.probabilities @ _smoothing(self.sigma)

    def weights(self, lam: float = 0.5) -> Tensor:
        """Rebalancing weight of each bin: ((1 - lam) p + lam / |bins with p > 0|)⁻¹, with mean 1 under p.

        p is the smoothed prior. A bin with p = 0 weighs as much as the rarest that has any.

        Args:
            lam: share of the uniform distribution, in [0, 1]: 0.5 in the paper; 1 gives weights of 1 (no
                rebalancing); 0 makes all bins count alike, as the class-balanced metrics want.

        Returns:
            (313,), float32, on the CPU.

        Raises:
            ValueError: ``lam`` is out of range.
        """
        return self._weights(lam).float()

    def chance(self, lam: float = 0.5) -> Chance:
        """What constant predictions reach on the counted data, with rebalancing by ``lam``."""
        soft = self.joint / self.joint.sum()
        weighted = (self._weights(lam)[:, None] * soft).sum(0)  # (313,), E[w z]
        return Chance(
            hard=_entropy(self.probabilities),
            soft=_entropy(soft.sum(0)),
            balanced=float(weighted.sum()) * _entropy(weighted / weighted.sum()),
        )

    def _weights(self, lam: float) -> Tensor:
        if not 0 <= lam <= 1:
            raise ValueError(f"lam must be in [0, 1]; got {lam}")
        smoothed = self.smoothed
        seen = smoothed > 0
        weights = 1 / ((1 - lam) * smoothed + lam / seen.sum())
        weights = torch.where(seen, weights, weights[seen].max())
        return weights / (smoothed * weights).sum()


def count_colors(ab: Tensor, neighbors: int = 5, sigma: float = 5.0) -> Tensor:
    """The counts of :class:`Prior` for one batch; add them up over batches.

    Args:
        ab: (B, 2, h, w), at the stride of the targets. Gray images are left out, as the loss leaves them out.
        neighbors: as in :func:`~pretext.color.soft_encode`.
        sigma: as in :func:`~pretext.color.soft_encode`.

    Returns:
        (313, 313), float64, on the CPU.
    """
    index, weight = soft_encode(ab[has_color(ab)], neighbors, sigma)
    cells = (index[:, :1] * N_BINS + index).flatten().cpu()
    counts = torch.bincount(cells, weight.flatten().cpu().double(), minlength=N_BINS**2)
    return counts.view(N_BINS, N_BINS)


def empirical_prior(
    batches: Iterable[Tensor], *, stride: int = 4, offset: int = 0, neighbors: int = 5, sigma: float = 5.0
) -> Prior:
    """The prior of a data set.

    Args:
        batches: RGB images (B, 3, H, W): uint8, or floating point in [0, 1].
        stride: of the sampled positions; see :func:`~pretext.color.ab_at_stride`.
        offset: of the sampled positions.
        neighbors: as in :func:`~pretext.color.soft_encode`.
        sigma: as in :func:`~pretext.color.soft_encode`.

    Raises:
        ValueError: there are no coloured images, or an image has a value that is not finite.
    """
    joint = torch.zeros(N_BINS, N_BINS, dtype=torch.float64)
    for batch in batches:
        rgb = batch.float() / 255 if batch.dtype == torch.uint8 else batch
        joint += count_colors(ab_at_stride(rgb, stride, offset=offset), neighbors, sigma)
    return Prior(joint, sigma)


def save_prior(prior: Prior, path: Path) -> None:
    """Write a prior whole or not at all."""
    with replacing(path) as file:
        np.savez_compressed(file, joint=prior.joint.numpy(), sigma=np.float64(prior.sigma))


def load_prior(path: Path) -> Prior:
    """Read what :func:`save_prior` wrote.

    Raises:
        ValueError: the file is no prior; names it.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return Prior(torch.from_numpy(file["joint"]), float(file["sigma"]))
    except (BadZipFile, EOFError, KeyError, ValueError, zlib.error) as error:
        raise ValueError(
            f"{path} is not a readable colour prior ({error}); delete it to have it made again"
        ) from error


def cached_prior(
    folder: Path,
    digest: str,
    batches: Iterable[Tensor],
    *,
    stride: int = 4,
    offset: int = 0,
    neighbors: int = 5,
    sigma: float = 5.0,
) -> Prior:
    """:func:`empirical_prior`, read from ``folder`` where it has been computed before.

    Args:
        folder: of the cache; made if needed.
        digest: identifies the images and how they are cut to size; letters, digits, ``-`` and ``_``.
        batches: consumed only if the prior is not there yet.
        stride: part of the file's name, like the following.
        offset: as in :func:`empirical_prior`.
        neighbors: as in :func:`empirical_prior`.
        sigma: as in :func:`empirical_prior`.
    """
    if not re.fullmatch(r"[\w-]+", digest, flags=re.ASCII):
        raise ValueError(f"digest must consist of letters, digits, '-' and '_'; got {digest!r}")
    path = Path(folder) / f"prior-{digest}-stride{stride}-offset{offset}-nn{neighbors}-sigma{sigma:g}.npz"
    if path.exists():
        return load_prior(path)
    prior = empirical_prior(batches, stride=stride, offset=offset, neighbors=neighbors, sigma=sigma)
    save_prior(prior, path)
    return prior


@lru_cache(maxsize=4)
def _smoothing(sigma: float) -> Tensor:
    """Each bin's Gaussian over the bins, cut at 3 sigma: (313, 313), float64; rows sum to 1."""
    # Without the cut every bin would have a p above 0, and lam = 0 would give the tail weights of 1e9.
    colors = bins().double()
    squared = (colors[:, None] - colors).square().sum(2)
    kernel = torch.exp(squared * (-0.5 / sigma**2)) * (squared <= (3 * sigma) ** 2)
    return kernel / kernel.sum(1, keepdim=True)


def _entropy(probabilities: Tensor) -> float:
    return float(torch.special.entr(probabilities).sum())
