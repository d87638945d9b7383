"""The end of a sweep: one table of all its members, and what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from conf import sweep
from conf.board import show_board
from conf.console import console
from downstream.records import read_all


class SweepTable(Callback):
    """Makes the table when the last member has ended, whether or not some failed."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read every member's outcome, print the table of their evaluations and list the failures."""
        outcomes = sweep.read(Path(config.hydra.sweep.dir))
        sweep.failures[:] = [outcome for outcome in outcomes if outcome.error]
        evaluations = {digest for outcome in outcomes for digest in outcome.evaluations}
        if evaluations:
            records = read_all(Path(config.output) / "records")
            own = [r for r in records if r.evaluation.digest in evaluations]
            show_board(Path(config.output), own, config.leaderboard)
        for outcome in sweep.failures:
            last = (outcome.error or "").strip().splitlines()[-1]
            console.print(f"failed: {' '.join(outcome.overrides)}\n  {last}", style="red", highlight=False)
        if sweep.failures:
            console.print(f"tracebacks: {config.hydra.sweep.dir}", highlight=False)
