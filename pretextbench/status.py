"""`job=status`: how far a sweep and the runs under `output` are, from what they left on disk."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table
from rich.text import Text
from yaml import YAMLError

from pretext.locks import held
from pretext.names import printable
from pretextbench import sweep
from pretextbench.console import console, errors
from pretextbench.locks import LOCK

DONE, RUNNING, FAILED, DAMAGED = "done", "running", "failed", "damaged"
STOPPED, MISSING = "stopped", "missing"
STYLES = {
    DONE: "green", RUNNING: "cyan", FAILED: "red", DAMAGED: "red", STOPPED: "yellow", MISSING: "dim",
}  # fmt: skip


class DamagedSweep(ValueError):
    """A sweep's folder that no longer says how it was started."""


class State(NamedTuple):
    """Of one member or run: what it is, how it stands, and what is to be said of it."""

    name: str
    state: str
    note: str = ""


def show_status(output: Path, chosen: str | None) -> None:
    """Print the members of a sweep with the command that finishes it, then the pretraining runs.

    A damaged file is named with what it belongs to and hides nothing else.

    Args:
        output: the folder of results. chosen: a sweep's folder; the newest under `output` without it.

    Raises:
        ValueError: a folder that is no sweep's, or an `output` without any run.
    """
    folder = _sweep_folder(output, chosen)
    runs = [_run(path) for path in sorted((output / "runs").glob("*/")) if (path / "config.json").is_file()]
    if folder is None and not runs:
        raise ValueError(f"{output} holds no sweep and no run; nothing was started there")
    if folder is not None:
        try:
            members = states(folder)
        except DamagedSweep as error:
            errors.print(str(error), style="red", soft_wrap=True)
        else:
            _print(f"sweep {folder.name}", members)
            if any(member.state != DONE for member in members):
                finish = f"to finish it: {command(folder)}"
                console.print(finish, soft_wrap=True)
    if runs:
        _print("pretraining runs", runs)


def states(folder: Path) -> list[State]:
    """How each member of a sweep stands, in the order of their numbers."""
    return [_member(folder / str(number), words) for number, words in enumerate(member_overrides(folder))]


def member_overrides(folder: Path) -> list[str]:
    """The overrides of each member that a sweep was started with, as its command line orders them."""
    choices: list[list[str]] = []
    try:
        overrides = OverridesParser.create().parse_overrides(_asked(folder))
    except OverrideParseException as error:
        raise _damaged(folder, error) from error
    for override in overrides:
        if override.is_sweep_override():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([override.input_line or ""])
    return [" ".join(words) for words in product(*choices)]


def command(folder: Path) -> str:
    """The command line that started a sweep, which also finishes it: nothing is computed twice."""
    flags = [word for path in _own_options(folder) for word in ("--config-dir", path)]
    return shlex.join([*started_by(), *flags, "-m", *_asked(folder)])


def started_by() -> list[str]:
    """The words that start this program, as it was started now: the installed command, or the checkout's."""
    started = Path(sys.argv[0]).name
    return ["pretextbench"] if started.startswith("pretextbench") else ["python", "run.py"]


def _own_options(folder: Path) -> list[str]:
    """The folder of options that a sweep was started with, `--config-dir`."""
    sources = OmegaConf.select(_started(folder), "runtime.config_sources", default=[])
    return [str(source.path) for source in sources if source.provider == "command-line"]


def _asked(folder: Path) -> list[str]:
    """The overrides that a sweep was started with."""
    try:
        return [str(word) for word in _started(folder).overrides.task]
    except (OmegaConfBaseException, AttributeError, TypeError) as error:
        raise _damaged(folder, error) from error


def _started(folder: Path) -> DictConfig:
    """Hydra's part of the configuration that a sweep was started with."""
    try:
        known: DictConfig = OmegaConf.load(folder / "multirun.yaml").hydra
        if "job" not in known:  # it comes behind the overrides, of which some would be lost without a word
            raise TypeError("cut short")
        return known
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> DamagedSweep:
    reason = str(error).strip().partition("\n")[0]
    return DamagedSweep(
        f"{folder / 'multirun.yaml'} is damaged ({reason}): delete {folder} and start the sweep again, "
        "nothing is computed twice"
    )


def _sweep_folder(output: Path, chosen: str | None) -> Path | None:
    if chosen is not None:
        if not (Path(chosen) / "multirun.yaml").is_file():
            raise ValueError(f"{chosen} is no sweep's folder: it has no multirun.yaml")
        return Path(chosen)
    found = sorted((output / "logs").glob("*/multirun.yaml"), reverse=True)
    return next((path.parent for path in found if not _dry(path.parent)), None)


def _dry(folder: Path) -> bool:
    """Whether a sweep only asked what there is to do; of a damaged one that is not known."""
    try:
        asked = _asked(folder)
    except DamagedSweep:
        return False
    return any(word.lower() in ("dry_run=true", "dry_run=1", "dry_run=yes", "dry_run=on") for word in asked)


def _member(folder: Path, overrides: str) -> State:
    lock = folder / LOCK
    if held(lock):
        return State(overrides, RUNNING)
    path = folder / sweep.OUTCOME
    if path.is_file():
        try:
            outcome = sweep.read_one(path)
        except sweep.DamagedOutcome as error:
            return State(overrides, DAMAGED, str(error))
        if outcome.error is None:
            return State(overrides, DONE)
        return State(overrides, FAILED, outcome.reason or outcome.error.strip().splitlines()[-1])
    if lock.exists():
        return State(overrides, STOPPED, "killed before its end")
    return State(overrides, MISSING)


def _run(folder: Path) -> State:
    state = RUNNING if held(folder / LOCK) else STOPPED
    try:
        budget = _content(folder / "config.json")["spec"]["budget"]["epochs"]
        if (folder / "result.json").is_file() and _content(folder / "result.json"):
            state = DONE
        note = f"epoch {_last_epoch(folder / 'history.csv')}/{budget}"
    except ValueError as error:
        return State(folder.name, DAMAGED, str(error))
    return State(folder.name, state, note)


def _content(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete {path.parent} to have the run made again"
        ) from error


def _last_epoch(history: Path) -> int:
    if not history.is_file():
        return 0
    try:
        with history.open(newline="") as file:
            table = csv.DictReader(file)
            if not table.fieldnames:
                raise ValueError("empty")
            return max((int(row["epoch"]) for row in table), default=0)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(
            f"{history} is damaged ({error}): delete it, it only says how the run went"
        ) from error


def _print(title: str, found: list[State]) -> None:
    table = Table("state", "what", "", title=title, title_justify="left", box=None, pad_edge=False)
    for state in found:
        note = "" if state.state == DAMAGED else state.note
        table.add_row(Text(state.state, STYLES[state.state]), Text(printable(state.name)), Text(note))
    console.print(table)
    for state in found:
        if state.state == DAMAGED:  # below, whole: a table folds paths
            console.print(state.note, style=STYLES[DAMAGED], soft_wrap=True)
    counts = Counter(state.state for state in found)
    console.print(", ".join(f"{counts[state]} {state}" for state in STYLES if counts[state]))
