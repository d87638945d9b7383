"""What runs the tests side by side."""

from __future__ import annotations

import os

import torch
from threadpoolctl import threadpool_info


def test_every_test_and_what_it_starts_has_one_thread() -> None:
    """Torch, BLAS and OpenMP alike: threads of two processes would fight for two cores."""
    assert torch.get_num_threads() == 1
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert os.environ["OMP_NUM_THREADS"] == "1"
