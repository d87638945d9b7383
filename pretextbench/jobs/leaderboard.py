"""`job=leaderboard`: the table of what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from downstream.judge.records import Record
from pretextbench.board import chosen_records, shipped, show_board
from pretextbench.console import console
from pretextbench.exported import export
from pretextbench.staleness import tell_how_to_redo


def run(cfg: DictConfig) -> list[str]:
    """Print the table of everything that was recorded under `output`, or of the rows that are chosen.

    Raises:
        ValueError: nothing was recorded yet, nothing that can be read, or nothing of the names given; a key
            that chooses no rows; nothing of one's own to be handed on.
        RecordError: records of several people of which some cannot be trusted.
    """
    output = Path(cfg.output)
    records, notes, folders = chosen_records(cfg)
    alone = cfg.leaderboard.copy()
    alone.reference = False  # what ships with suites is among the records already
    folder = show_board(output, records, alone, notes, folders)
    own = _own(records, cfg)
    if not cfg.records:
        tell_how_to_redo(own, output, folder)
    if cfg.leaderboard.export is not None:
        if not own:
            raise ValueError(f"leaderboard.export: none of the {len(records)} records is one's own")
        with_rows = export(own, Path(cfg.leaderboard.export), folders)
        console.print(
            f"{len(own)} records, {with_rows} of them with their rows, are in {cfg.leaderboard.export}",
            soft_wrap=True,
        )
    if cfg.leaderboard.push:
        from pretextbench import tracking

        tracking.push(own, output, cfg.logger)
    return []


def _own(records: Sequence[Record], cfg: DictConfig) -> list[Record]:
    """Those that lie under `output`, or were brought by `records`: not those that ship with a suite."""
    if cfg.records:
        known = shipped(records) if cfg.leaderboard.reference else set()
        return [record for record in records if record.evaluation.digest not in known]
    folder = Path(cfg.output) / "records"
    there = {path.stem for path in folder.glob("*.json")}
    return [record for record in records if record.evaluation.digest in there]
