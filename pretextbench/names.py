"""What people may call their data sets, tasks and rows, and where they may put things."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from pretext.names import FORMULA

LONGEST = 100
BLIND = "blind:"
"""As downstream.judge.records has it, which is slow to import."""

OWNERS = {"random": "pretext.tasks.random.Random", "supervised": "pretext.tasks.supervised.Supervised"}
"""Names of the twins, by which rows find them, and the tasks that go by them."""


def name(given: str) -> str:
    """Return a name as it was given.

    Raises:
        ValueError: an empty one, one with signs that cannot be printed, a longer one than 100 characters, or
            the beginning that marks predictors without an encoder, or a spreadsheet's formula.
    """
    if not given or given != given.strip():
        raise ValueError("a name is not empty and begins and ends with no blank")
    if len(given) > LONGEST or not given.isprintable():
        raise ValueError(f"a name has at most {LONGEST} characters, each of which can be printed")
    if given[0] in FORMULA:
        raise ValueError(f"a name begins with none of {' '.join(FORMULA)}, as formulas in spreadsheets do")
    if _folded(given).startswith(BLIND):
        raise ValueError(f"names that begin with {BLIND!r} belong to predictors that look at no encoder")
    return given


def label(given: str | None) -> str | None:
    """Return the name of a row.

    Raises:
        ValueError: no name, or one of the twins'.
    """
    if given is not None and _folded(given) in OWNERS:
        raise ValueError(f"{' and '.join(OWNERS)} are the twins that other rows are compared with")
    return None if given is None else name(given)


def _folded(given: str) -> str:
    """A name as it is told from others at a glance: in any case, and any form of its letters."""
    return unicodedata.normalize("NFKC", given).casefold().strip()


def of_task(given: str, target: str) -> None:
    """Refuse the name of a twin for another task.

    Args:
        given: the task's name. target: the path of its class.
    """
    if OWNERS.get(given, target) != target:
        raise ValueError(
            f"pretext.name={given} is the twin that other rows are compared with, {OWNERS[given]}; "
            f"{target} needs a name of its own"
        )


def place(given: str | None) -> str | None:
    """Return a path with `~` replaced by the home that it stands for.

    Raises:
        ValueError: an empty one, which would be the folder one happens to be in; no such home.
    """
    if given is None:
        return None
    if not given.strip():
        raise ValueError("a path is not empty; this folder is .")
    try:
        return str(Path(given).expanduser()) if given.startswith("~") else given
    except RuntimeError as error:
        raise ValueError(str(error)) from None


Name = Annotated[str, AfterValidator(name)]
Label = Annotated[str | None, AfterValidator(label)]
