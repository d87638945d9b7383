"""Random numbers of an image: the same ones whenever the same picture is met, in any batch."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def drawn_from(picture: NDArray[np.float64], seed: int) -> np.random.Generator:
    """A generator that a picture, any shape, and a seed ≥ 0 decide alone."""
    digest = hashlib.sha256(picture.tobytes()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4")])
