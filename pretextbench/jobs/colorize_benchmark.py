"""`job=colorize_benchmark`: systems that colour, ranked on the test images of a set."""

from __future__ import annotations

from omegaconf import DictConfig

from pretextbench.context import opened
from pretextbench.league.benchmark import compare


def run(cfg: DictConfig) -> list[str]:
    """Train or fit each system, colour the test images, print and write the league.

    Raises:
        ValueError: a system that is not there or lacks what it reads; entries from outside that do not fit;
            one that colours nothing.
        GateFailed: scores that must not be kept.
    """
    with opened(cfg) as context:
        return compare(context)
