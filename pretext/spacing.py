"""Some of many, evenly spaced: the same ones every time, without drawing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly_spaced(length: int, count: int) -> NDArray[np.int64]:
    """At most `count` evenly spaced positions out of `length`."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))
