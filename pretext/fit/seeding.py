"""Random numbers that depend on where training stands, never on how it got there."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What a seed is for: no two uses share numbers."""

    PREPARE = 0
    VIEWS = 1
    LAYERS = 2
    VALIDATION = 3
    EPOCH = 4


def derive(seed: int, stream: Stream, epoch: int = 0, batch: int = 0, rank: int = 0) -> int:
    """Return a 63-bit seed for one use at one point of a run, in one of its processes."""
    place = [seed, int(stream), epoch, batch] + [rank] * (rank > 0)  # alone, as before there were ranks
    state = np.random.SeedSequence(place).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator(seed: int, stream: Stream, epoch: int = 0, batch: int = 0, rank: int = 0) -> torch.Generator:
    """Return a fresh CPU generator for one use at one point of a run, in one of its processes."""
    return torch.Generator().manual_seed(derive(seed, stream, epoch, batch, rank))
