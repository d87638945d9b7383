"""What a member of a sweep leaves behind for the table at its end."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from conf.reasons import reason
from pretext.atomic import write_json

OUTCOME = "outcome.json"


class Outcome(NamedTuple):
    """How one member ended: the evaluations it stands for, or its error.

    error: the whole traceback. reason: what a person is told of it.
    """

    overrides: list[str]
    evaluations: list[str]
    error: str | None
    reason: str = ""


failures: list[Outcome] = []
"""Failed members of the sweep that this process ran; decides the exit status."""


def write(folder: Path, outcome: Outcome) -> None:
    """Leave the outcome in the member's folder."""
    write_json(folder / OUTCOME, outcome._asdict())


def failed(overrides: Sequence[str], error: Exception) -> Outcome:
    """Describe a failure by its reason and its whole traceback."""
    trace = "".join(traceback.format_exception(error))
    return Outcome(list(overrides), [], trace, reason(error, overrides))


def read(folder: Path) -> list[Outcome]:
    """Outcomes of a sweep's members, in the order of their numbers."""
    paths = sorted(folder.glob(f"*/{OUTCOME}"), key=lambda path: int(path.parent.name))
    return [Outcome(**json.loads(path.read_bytes())) for path in paths]
