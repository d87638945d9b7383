"""The 313 colour bins of Zhang, Isola & Efros 2016 (arXiv:1603.08511): the in-gamut points of an ab grid."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

GRID = 10  # distance of neighbouring bins in a and b

# Corners of the region that holds the authors' bins, in order. Testing which grid points some RGB value
# reaches does not give their set: depending on the L that are tried it finds 225 to 309.
_HULL = (
    (-90, 90),
    (-90, 50),
    (-80, 20),
    (-60, -20),
    (-30, -50),
    (10, -80),
    (40, -100),
    (60, -110),
    (90, -110),
    (100, -90),
    (100, 0),
    (90, 70),
    (70, 80),
    (40, 90),
    (0, 100),
    (-50, 100),
)


def bins(device: torch.device | str | None = None) -> Tensor:
    """The ab of each bin: (313, 2), float32, sorted by a, then b; bin 120 is (0, 0)."""
    return torch.tensor(_grid_in_hull(), dtype=torch.float32, device=device)


@lru_cache(maxsize=1)
def _grid_in_hull() -> tuple[tuple[int, int], ...]:
    steps = range(-120, 121, GRID)
    return tuple((a, b) for a in steps for b in steps if _inside(a, b))


def _inside(a: int, b: int) -> bool:
    """Whether (a, b) lies in the hull or on its edge; exact, in integers."""
    edges = zip(_HULL, _HULL[1:] + _HULL[:1], strict=True)
    return all((a1 - a0) * (b - b0) - (b1 - b0) * (a - a0) >= 0 for (a0, b0), (a1, b1) in edges)


N_BINS = len(_grid_in_hull())  # 313, called Q in the paper
