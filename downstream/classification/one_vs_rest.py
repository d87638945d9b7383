"""Linear classifiers of one class against the rest, on features of unit length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.classification.labels import top_k
from downstream.classification.voc_ap import one_hot, step_ap, voc_ap_11point, voc_ap_area
from downstream.heads.svm import with_bias
from downstream.protocol import Measure, Metric, fractions

CHUNK = 4096
SMALLEST_NORM = 1e-5

POWERS_OF_TEN = tuple(float(f"1e{exponent}") for exponent in range(-7, 3))
POWERS_OF_HALF = tuple(0.5**exponent for exponent in range(4, 20))
GOYAL19_COSTS = POWERS_OF_TEN + POWERS_OF_HALF
"""C of arXiv:1905.01235: 1e-7 … 1e2 and 0.5⁴ … 0.5¹⁹."""


def unit_rows(features: NDArray[Any], device: torch.device) -> Tensor:
    """Each row (N, D) divided by its length + 1e-5, as float32 on the device."""
    rows = torch.empty(features.shape, device=device)
    for start in range(0, len(features), CHUNK):
        part = torch.from_numpy(np.array(features[start : start + CHUNK])).to(device).float()
        rows[start : start + CHUNK] = part / (part.norm(dim=1, keepdim=True) + SMALLEST_NORM)
    return rows


def signs_of(labels: NDArray[Any], classes: int) -> Tensor:
    """Labels of either kind as (N, C) int8: 1 where the class is there, −1 where not."""
    return torch.from_numpy(np.where(one_hot(labels, classes), 1, -1).astype(np.int8))


@dataclass(frozen=True)
class Heads:
    """P linear classifiers (D + 1, P), the last row the bias."""

    weight: Tensor

    def scores(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Scores (N, P) of raw features (N, D), which may be a memory map."""
        parts = [
            with_bias(unit_rows(features[i : i + CHUNK], self.weight.device)) @ self.weight
            for i in range(0, len(features), CHUNK)
        ]
        return np.asarray(torch.cat(parts).cpu().numpy())


def checked_costs(owner: str, costs: Sequence[float]) -> tuple[float, ...]:
    """The values of C as a tuple.

    Raises:
        ValueError: none, one that is not positive and finite, or one twice.
    """
    found = tuple(float(cost) for cost in costs)
    if not found or not all(0 < cost < float("inf") for cost in found) or len(set(found)) < len(found):
        raise ValueError(f"{owner}: costs={found!r} must be different positive numbers")
    return found


def voc_metrics(labels: NDArray[Any]) -> dict[str, Measure]:
    """Mean average precision by VOC's area (primary), by its 11 points, by steps; top-1 for single labels."""
    several: dict[str, Metric] = {
        "voc_ap_area": voc_ap_area,
        "voc_ap_11point": voc_ap_11point,
        "mAP": step_ap,
    }
    return fractions(several if labels.ndim == 2 else {**several, "top1": top_k(1)})


def best_costs(values: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Of each row of scores (T, costs) the place and the score of the best; NaN is passed over.

    A row of NaN alone has the first place and the score NaN.
    """
    return np.nan_to_num(values, nan=-np.inf).argmax(1), np.fmax.reduce(values, axis=1)


def costs_at_edge(values: NDArray[np.float64], costs: Sequence[float], what: str) -> tuple[str, ...]:
    """Names C, and for how many of `what` its end was chosen and beats every value between the ends.

    Args:
        values: (T, costs) scores of each C, of which the largest is chosen; NaN where none was found.
        what: what the T choices are made for: "classes".
    """
    order, values = np.argsort(costs), np.nan_to_num(values, nan=-np.inf)
    inner, ends = values[:, order[1:-1]], values[:, order[[0, -1]]]
    if len(costs) < 2:
        return ()
    count = int((ends.max(1) > inner.max(1, initial=-np.inf)).sum())
    return (f"C for {count} of {len(values)} {what}",) if count else ()
