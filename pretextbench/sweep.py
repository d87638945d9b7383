"""What a member of a sweep leaves behind for the table at its end."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pretext.atomic import write_json
from pretextbench.reasons import reason

OUTCOME = "outcome.json"


class DamagedOutcome(ValueError):
    """A member's outcome that cannot be read."""


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
    """Outcomes of a sweep's members, in the order of their numbers; a damaged one counts as a failure."""
    paths = sorted(folder.glob(f"*/{OUTCOME}"), key=lambda path: int(path.parent.name))
    outcomes = []
    for path in paths:
        try:
            outcomes.append(read_one(path))
        except DamagedOutcome as error:
            outcomes.append(Outcome([f"member {path.parent.name}"], [], str(error), str(error)))
    return outcomes


def read_one(path: Path) -> Outcome:
    """The outcome in a file.

    Raises:
        DamagedOutcome: it says none; the message names the file.
    """
    try:
        return Outcome(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise DamagedOutcome(
            f"{path} is damaged ({error}): run the sweep again, nothing is computed twice"
        ) from error
