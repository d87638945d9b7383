"""Catch at start-up, in plain English, what would otherwise fail far away."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version


def mismatch(torch: str, torchvision: str, error: str | None) -> str | None:
    """Say what is wrong with an installed pair, or None.

    Args:
        torch, torchvision: versions with their local label ("2.15.0+cpu").
        error: what importing torchvision raised, if it did.
    """
    if error is None:
        return None
    builds = [v.partition("+")[2] or "default" for v in (torch, torchvision)]
    return (
        f"torchvision {torchvision} does not work with torch {torch}: {error}\n"
        f"Both must come from the same place and belong together (builds here: torch {builds[0]}, "
        f"torchvision {builds[1]}).\n"
        "Set up again with `uv sync`, or install both in one command from one source."
    )


def check() -> None:
    """Exit with an explanation where torch and torchvision are missing or do not fit."""
    try:
        versions = version("torch"), version("torchvision")
    except PackageNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed. Run `uv run run.py`, or see the README for pip.")
    try:
        import torch
        import torchvision

        torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except (RuntimeError, ImportError, AttributeError) as error:
        sys.exit(mismatch(*versions, str(error).splitlines()[0]))
