"""`job=leaderboard`: the table of what was recorded."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from pretextbench.board import chosen_records, show_board


def run(cfg: DictConfig) -> list[str]:
    """Print the table of everything that was recorded under `output`, or of the rows that are chosen.

    Raises:
        ValueError: nothing was recorded yet, nothing that can be read, or nothing of the names given; a key
            that chooses no rows.
    """
    records, notes = chosen_records(cfg)
    show_board(Path(cfg.output), records, cfg.leaderboard, notes)
    return []
