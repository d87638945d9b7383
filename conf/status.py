"""`job=status`: how far a sweep and the runs under `output` are, from what they left on disk."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from itertools import product
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from rich.table import Table
from rich.text import Text

from conf import sweep
from conf.console import console
from conf.locks import LOCK
from pretext.locks import held

DONE, RUNNING, FAILED, STOPPED, MISSING = "done", "running", "failed", "stopped", "missing"
STYLES = {DONE: "green", RUNNING: "cyan", FAILED: "red", STOPPED: "yellow", MISSING: "dim"}


class State(NamedTuple):
    """Of one member or run: what it is, how it stands, and what is to be said of it."""

    name: str
    state: str
    note: str = ""


def show_status(output: Path, chosen: str | None) -> None:
    """Print the members of a sweep with the command that finishes it, then the pretraining runs.

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
        members = states(folder)
        _print(f"sweep {folder.name}", members)
        if any(member.state != DONE for member in members):
            console.print(f"to finish it: {command(folder)}", soft_wrap=True)
    if runs:
        _print("pretraining runs", runs)


def states(folder: Path) -> list[State]:
    """How each member of a sweep stands, in the order of their numbers."""
    return [_member(folder / str(number), words) for number, words in enumerate(member_overrides(folder))]


def member_overrides(folder: Path) -> list[str]:
    """The overrides of each member that a sweep was started with, as its command line orders them."""
    asked = [str(word) for word in OmegaConf.load(folder / "multirun.yaml").hydra.overrides.task]
    choices: list[list[str]] = []
    for override in OverridesParser.create().parse_overrides(asked):
        if override.is_sweep_override():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([override.input_line or ""])
    return [" ".join(words) for words in product(*choices)]


def command(folder: Path) -> str:
    """The command line that started a sweep, which also finishes it: nothing is computed twice."""
    asked = OmegaConf.load(folder / "multirun.yaml").hydra.overrides.task
    return shlex.join(["python", "run.py", "-m", *map(str, asked)])


def _sweep_folder(output: Path, chosen: str | None) -> Path | None:
    if chosen is not None:
        if not (Path(chosen) / "multirun.yaml").is_file():
            raise ValueError(f"{chosen} is no sweep's folder: it has no multirun.yaml")
        return Path(chosen)
    found = sorted((output / "logs").glob("*/multirun.yaml"))
    return found[-1].parent if found else None


def _member(folder: Path, overrides: str) -> State:
    lock = folder / LOCK
    if held(lock):
        return State(overrides, RUNNING)
    path = folder / sweep.OUTCOME
    if path.is_file():
        outcome = sweep.Outcome(**json.loads(path.read_bytes()))
        if outcome.error is None:
            return State(overrides, DONE)
        return State(overrides, FAILED, outcome.reason or outcome.error.strip().splitlines()[-1])
    if lock.exists():
        return State(overrides, STOPPED, "killed before its end")
    return State(overrides, MISSING)


def _run(folder: Path) -> State:
    epoch = _last_epoch(folder / "history.csv")
    budget = json.loads((folder / "config.json").read_bytes())["spec"]["budget"]["epochs"]
    note = f"epoch {epoch}/{budget}"
    if (folder / "result.json").is_file():
        return State(folder.name, DONE, note)
    return State(folder.name, RUNNING if held(folder / LOCK) else STOPPED, note)


def _last_epoch(history: Path) -> int:
    if not history.is_file():
        return 0
    with history.open(newline="") as file:
        return max((int(row["epoch"]) for row in csv.DictReader(file)), default=0)


def _print(title: str, found: list[State]) -> None:
    table = Table("state", "what", "", title=title, title_justify="left", box=None, pad_edge=False)
    for state in found:
        table.add_row(Text(state.state, STYLES[state.state]), Text(state.name), Text(state.note))
    console.print(table)
    counts = Counter(state.state for state in found)
    console.print(", ".join(f"{counts[state]} {state}" for state in STYLES if counts[state]))
