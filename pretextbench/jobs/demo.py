"""`job=demo`: what is measured, in under a minute."""

from __future__ import annotations

from omegaconf import DictConfig

from pretextbench.context import opened
from pretextbench.demo import show_demo


def run(cfg: DictConfig) -> list[str]:
    """Show in under a minute what is measured; see `pretextbench.demo`.

    Raises:
        ValueError: settings that leave no score to show.
    """
    with opened(cfg):
        return show_demo()
