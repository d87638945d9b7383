"""`job=status`: how far everything is."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from pretextbench.status import show_status


def run(cfg: DictConfig) -> list[str]:
    """Print how far a sweep and the runs under `output` are; computes nothing.

    Raises:
        ValueError: nothing was started there, or `sweep` is no sweep's folder.
    """
    show_status(Path(cfg.output), cfg.sweep)
    return []
