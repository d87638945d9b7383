"""`job=leaderboard`: the table of what was recorded."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from pretextbench.board import chosen_records, show_board
from pretextbench.console import console
from pretextbench.exported import export
from pretextbench.staleness import tell_how_to_redo


def run(cfg: DictConfig) -> list[str]:
    """Print the table of everything that was recorded under `output`, or of the rows that are chosen.

    Raises:
        ValueError: nothing was recorded yet, nothing that can be read, or nothing of the names given; a key
            that chooses no rows.
        RecordError: records of several people of which some cannot be trusted.
    """
    output = Path(cfg.output)
    records, notes, folders = chosen_records(cfg)
    folder = show_board(output, records, cfg.leaderboard, notes)
    if not cfg.records:
        tell_how_to_redo(records, output, folder)
    if cfg.leaderboard.export is not None:
        with_rows = export(records, Path(cfg.leaderboard.export), folders)
        console.print(
            f"{len(records)} records, {with_rows} of them with their rows, are in {cfg.leaderboard.export}",
            soft_wrap=True,
        )
    if cfg.leaderboard.push:
        from pretextbench import tracking

        tracking.push(records, output, cfg.logger)
    return []
