"""How many directions features use, from their spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

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
