"""`job=demo`: what is measured, in under a minute."""

from __future__ import annotations

from contextlib import nullcontext

from omegaconf import DictConfig

from pretextbench.beside import beside
from pretextbench.composed import typed


def run(cfg: DictConfig) -> list[str]:
    """Show in under a minute what is measured; see `pretextbench.demo`.

    Raises:
        ValueError: settings that leave no score to show.
    """
    # Started before torch is imported, which takes as long as a fifth of all and keeps one core busy.
    work = nullcontext(str) if cfg.dry_run else beside("pretextbench.demo.judge_destroyed", typed())
    with work as wait:
        from pretextbench.context import opened
        from pretextbench.demo import show_demo

        with opened(cfg):
            return show_demo(wait)
