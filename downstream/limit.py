"""A smaller training split, for a smaller budget."""

from __future__ import annotations

import hashlib

import numpy as np

from pretext.data.dataset import Split
from pretext.data.split import subset


def require_positive(settings: object, *names: str) -> None:
    """Refuse fields of a protocol that are below 1 (None is no value), when it is made.

    Raises:
        ValueError: the first such field, by name.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ValueError(f"{type(settings).__name__}: {name} must be at least 1, got {value}")


def limit(split: Split, examples: int | None) -> Split:
    """At most `examples` of a split, drawn by its digest: always the same, a smaller draw within a larger.

    Raises:
        ValueError: fewer than one example asked for.
    """
    if examples is None or examples >= len(split):
        return split
    if examples < 1:
        raise ValueError(f"split {split.name!r} cannot be limited to {examples} examples")
    seed = int.from_bytes(hashlib.sha256(split.digest.encode()).digest()[:8], "little")
    drawn = np.random.default_rng(seed).permutation(len(split))[:examples]
    return subset(split, np.sort(drawn))
