"""The area under the curve of ab errors as others compute it: one name, seven values on the same errors.

The released code of arXiv:1603.08511 holds none. Which convention a published number follows is seldom said;
those here are found in rebuildings. They read the curve at whole thresholds, ours (`measures.auc`) does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from downstream.colorization.measures import auc
from downstream.protocol import Predictions

Curve = NDArray[np.float64]
"""Shares of pixels within 0, 1, … 150: (151,)."""

AT_THRESHOLDS: Mapping[str, Callable[[Curve], float]] = {
    "trapezoids over 0 … 150": lambda curve: _trapezoids(curve, 1),
    "trapezoids, every 5": lambda curve: _trapezoids(curve, 5),
    "trapezoids, every 10": lambda curve: _trapezoids(curve, 10),
    "mean over 0 … 150": lambda curve: float(curve.mean()),
    "mean over 1 … 150": lambda curve: float(curve[1:].mean()),
    "mean over 0, 10, … 150": lambda curve: float(curve[::10].mean()),
}
"""By how the curve is read."""


def conventions(rows: Predictions) -> dict[str, float]:
    """Each convention's value of the same errors, in [0, 1], the exact one first."""
    curve = rows["within"].sum(0) / rows["weight"].sum()
    return {"exact": auc(rows)} | {name: of(curve) for name, of in AT_THRESHOLDS.items()}


def _trapezoids(curve: Curve, step: int) -> float:
    read = curve[::step]
    return float((read[1:] + read[:-1]).mean() / 2)
