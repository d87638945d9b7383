"""`job=leaderboard`: the table of what was recorded."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pretextbench import filters, frozen
from pretextbench.board import recorded, show_board


def run(cfg: DictConfig) -> list[str]:
    """Print the table of everything that was recorded under `output`, or of the rows that are chosen.

    Raises:
        ValueError: nothing was recorded yet, nothing that can be read, or nothing of the names given; a key
            that chooses no rows.
    """
    by = filters.asked(HydraConfig.get().overrides.task)
    output = Path(cfg.output)
    records, notes = recorded(output / "records")
    if cfg.suite is not None and cfg.leaderboard.reference:
        records += frozen.reference(frozen.label_of(cfg.suite.name, cfg.suite.version))
    if not records:
        raise ValueError(f"{output / 'records'} has no records; run job=benchmark first")
    show_board(output, filters.chosen(records, by), cfg.leaderboard, notes)
    return []
