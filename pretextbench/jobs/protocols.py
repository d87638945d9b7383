"""`job=protocols`: what one can judge by."""

from __future__ import annotations

from omegaconf import DictConfig

from pretextbench.protocols import show_protocols


def run(_: DictConfig) -> list[str]:
    """Print what `downstream=[…]` takes; computes nothing."""
    show_protocols()
    return []
