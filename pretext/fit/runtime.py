"""Where a run computes, in which precision, and how it keeps Lightning's talk from the user."""

from __future__ import annotations

import logging
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

BF16, FP32 = "bf16", "fp32"


def choose_device(name: str = "auto") -> torch.device:
    """Return the first GPU if there is one (`auto`), or what is asked for.

    Raises:
        ValueError: a device that is unknown or not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is one of auto, cpu, cuda; got {name!r}")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ValueError("device=cuda, but torch finds no usable GPU; use device=auto or device=cpu")
    if name == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def choose_precision(name: str, device: torch.device) -> str:
    """Return fp32 or bf16: `auto` is bf16 on a GPU that computes in it, else fp32.

    Raises:
        ValueError: an unknown precision, or bf16 where it is emulated (on a CPU it is many times slower).
    """
    if name not in ("auto", FP32, BF16):
        raise ValueError(f"precision is one of auto, fp32, bf16; got {name!r}")
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "bf16" and not native:
        raise ValueError(f"precision=bf16, but {device} does not compute in it; use precision=auto or fp32")
    return BF16 if native and name != FP32 else FP32


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that torch held; on a CPU the most that this process ever held."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def quiet() -> Iterator[None]:
    """Within the context Lightning keeps its notes on devices and its tips to itself; warnings still come."""
    names = [
        f"{package}{module}"
        for package in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")
        for module in ("", ".utilities.rank_zero")
    ]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Asked for: a run on the CPU of a machine with a GPU.
            warnings.filterwarnings("ignore", message="GPU available but not used")
            # Lightning 2.6 asks torch for tree leaves in a way that torch 2.15 will drop.
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
