"""What a dry run found: the rows of its table, kept by each member of a sweep for one table at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from pretext.atomic import write_json
from pretextbench.console import console

PLAN = "plan.json"

BESIDE = 36
"""Characters of a line that the state, the views and the time of a run take when folded."""


class Step(NamedTuple):
    """Something to compute: a run, or an evaluation.

    key: its digest, by which it is counted once. views: images that its steps pass through the encoder, there
        and back, each view of an image by itself.
    """

    key: str
    what: str
    state: str
    seconds: float
    views: int = 0


class Planned(NamedTuple):
    """An encoder and the evaluations of it. forward: seconds that it takes an image."""

    run: Step
    evaluations: list[Step]
    forward: float


class Plan(NamedTuple):
    """All of one command or member. where: what the times were taken on."""

    runs: list[Planned]
    where: str


def write(folder: Path, plan: Plan) -> None:
    """Leave a member's plan in its folder."""
    write_json(folder / PLAN, {"runs": plan.runs, "where": plan.where})


def read(folder: Path) -> list[Plan]:
    """Plans of a sweep's members, in the order of their numbers."""
    paths = sorted(folder.glob(f"*/{PLAN}"), key=lambda path: int(path.parent.name))
    return [_plan(json.loads(path.read_bytes())) for path in paths]


def _plan(kept: dict[str, Any]) -> Plan:
    runs = [
        Planned(Step(*run), [Step(*step) for step in evaluations], forward)
        for run, evaluations, forward in kept["runs"]
    ]
    return Plan(runs, kept["where"])


def joined(plans: Iterable[Plan]) -> list[Planned]:
    """Every run of several plans once, with every evaluation of it once, in the order of their first."""
    found: dict[str, Planned] = {}
    for plan in plans:
        for run in plan.runs:
            here = found.setdefault(run.run.key, Planned(run.run, [], run.forward))
            known = {step.key for step in here.evaluations}
            here.evaluations.extend(step for step in run.evaluations if step.key not in known)
    return list(found.values())


def show(plans: Sequence[Plan]) -> None:
    """Print one table of all there is to do, and its sum."""
    runs = joined(plans)
    table = Table(box=None, pad_edge=False)
    # A name is looked for and pasted: where it can be whole, what stands beside it folds.
    longest = max((len(run.run.what) for run in runs), default=0)
    table.add_column("what", overflow="fold", no_wrap=longest + BESIDE <= console.width)
    table.add_column("state", overflow="fold")
    for column in ("views", "about"):
        table.add_column(column, justify="right", overflow="fold")
    total = 0.0
    for run in runs:
        for indent, step in (("", run.run), *(("  ", step) for step in run.evaluations)):
            views = f"{step.views:,}" if step.views else ""
            table.add_row(indent + step.what, step.state, views, clock(step.seconds))
            total += step.seconds
    console.print(table)
    console.print(f"about {clock(total)} on {', '.join(dict.fromkeys(plan.where for plan in plans))}")


def clock(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
