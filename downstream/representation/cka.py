"""Centred kernel alignment of two encoders, stage by stage (arXiv:1905.00414)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.features.extraction import Key, extract
from downstream.features.pooling import GridPool, Reduction
from downstream.protocol import Runtime
from pretext.data.dataset import Split
from pretext.encoder import Encoder


class StageSimilarity(NamedTuple):
    """Linear CKA of every stage of one encoder with every stage of another.

    first, second: names of the stages. values: (len(first), len(second)) in [0, 1].
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    values: NDArray[np.float64]

    def markdown(self) -> str:
        """A table: the first encoder's stages down, the second's across."""
        lines = [" | ".join(["| CKA", *self.second]) + " |", "|---" * (len(self.second) + 1) + "|"]
        for name, row in zip(self.first, self.values, strict=True):
            lines.append(" | ".join([f"| {name}", *(f"{value:.2f}" for value in row)]) + " |")
        return "\n".join(lines)

    def csv(self) -> str:
        """One line a pair of stages: first, second, cka."""
        pairs = [
            f"{one},{other},{self.values[i, j]:.6f}"
            for i, one in enumerate(self.first)
            for j, other in enumerate(self.second)
        ]
        return "\n".join(["first,second,cka", *pairs]) + "\n"


def linear_cka(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Linear CKA: ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of centred features, Frobenius norms.

    Invariant to rotation and to one factor for all channels of either side, not to a factor for each channel.
    Noise alone gives more than 0 where images are few for the channels: some D / N.

    Args:
        x: (N, D) features. y: (N, E) features of the same images in the same order.

    Returns:
        In [0, 1]; 1 for features that are the same but for rotation and scale.

    Raises:
        ValueError: numbers of rows that differ, or features that do not vary or are not finite.
    """
    first, second = _centred(x, "x"), _centred(y, "y")
    if len(first) != len(second):
        raise ValueError(
            f"CKA compares features of the same images: x has {len(first)} rows, y {len(second)}"
        )
    return _aligned(first, second)


def stage_similarity(
    first: Encoder,
    second: Encoder,
    images: Split,
    runtime: Runtime,
    reduction: Reduction | None = None,
) -> StageSimilarity:
    """Linear CKA between all stages of two encoders on the same images.

    Args:
        reduction: what is kept of each map; global average pooling without it. What it returns is flattened.

    Raises:
        ValueError: as `linear_cka`, naming the stage.
    """
    kept = GridPool() if reduction is None else reduction
    sides = [_stages(encoder, images, kept, runtime) for encoder in (first, second)]
    values = np.array([[_aligned(x, y) for y in sides[1].values()] for x in sides[0].values()])
    return StageSimilarity(first.stage_names, second.stage_names, values)


def _stages(
    encoder: Encoder, images: Split, reduction: Reduction, runtime: Runtime
) -> dict[str, NDArray[np.float64]]:
    features = extract(encoder, images, (reduction,), runtime, encoder.stage_names)
    return {name: _centred(features[Key(name, reduction)], f"stage {name!r}") for name in encoder.stage_names}


def _centred(features: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Centred, and scaled to a largest entry of 1, so that no square overflows: (N, D)."""
    flat = np.asarray(features, dtype=np.float64).reshape(len(features), -1)
    finite = np.isfinite(flat).all(1)
    if not finite.all():
        raise ValueError(f"CKA: {name}: the feature of example {int(np.argmin(finite))} is not finite")
    centred = flat - flat.mean(0)
    largest = np.abs(centred).max(initial=0)
    # Rounding leaves some 1e-16 of what was centred.
    if largest <= 1e-12 * np.abs(flat).max(initial=0):
        raise ValueError(f"CKA: {name}: its features are the same for all {len(flat)} images")
    return np.asarray(centred / largest)


def _aligned(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """CKA of centred features, by whichever of channels and images are fewer."""
    n, d, e = len(x), x.shape[1], y.shape[1]
    if d * e + d * d + e * e <= 2 * n * n:
        cross = np.square(y.T @ x).sum()
        own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    else:
        k, m = x @ x.T, y @ y.T
        cross, own = (k * m).sum(), np.linalg.norm(k) * np.linalg.norm(m)
    return float(np.clip(cross / own, 0, 1))
