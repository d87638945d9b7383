"""`job=plan`: how many seeds a difference takes."""

from __future__ import annotations

from omegaconf import DictConfig

from downstream import leaderboard
from pretextbench.board import chosen_records
from pretextbench.seeds import show_seeds


def run(cfg: DictConfig) -> list[str]:
    """Print how many seeds a difference takes, and which one so many seeds show; computes nothing else.

    Raises:
        ValueError: nothing was recorded yet, nothing of the names given, or nothing of several seeds; a key
            that chooses no rows.
    """
    show_seeds(leaderboard.build(chosen_records(cfg).records), cfg.plan)
    return []
