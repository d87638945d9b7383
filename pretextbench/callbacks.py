"""The end of a sweep: one table of all its members, and what failed."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from pretextbench import names, plans, sweep
from pretextbench.console import errors


class SweepTable(Callback):
    """Makes the table when the last member has ended, whether or not some failed."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read every member's outcome, print the table of their evaluations and list the failures."""
        # Hydra makes this object before the job is checked: what is slow to import waits for the end.
        from pretextbench.board import show_board
        from pretextbench.recorded import recorded

        if planned := plans.read(Path(config.hydra.sweep.dir)):
            plans.show(planned)
        outcomes = sweep.read(Path(config.hydra.sweep.dir))
        sweep.failures[:] = [outcome for outcome in outcomes if outcome.error]
        evaluations = {digest for outcome in outcomes for digest in outcome.evaluations}
        if evaluations:
            output = Path(names.place(config.output) or ".")
            records, notes, _ = recorded(output / "records")
            own = [r for r in records if r.evaluation.digest in evaluations]
            if own:
                show_board(output, own, config.leaderboard, notes)
        for outcome in sweep.failures:
            errors.print(f"failed: {' '.join(outcome.overrides)}", style="red", soft_wrap=True)
            errors.print(textwrap.indent(outcome.reason, "  "), style="red", soft_wrap=True)
        if sweep.failures:
            errors.print(f"tracebacks: {config.hydra.sweep.dir}", soft_wrap=True)
