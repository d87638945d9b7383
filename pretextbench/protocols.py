"""`job=protocols`: every protocol that `downstream=[…]` takes, in a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from hydra import compose
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.cells import cell_len
from rich.table import Table

from downstream.digest import digest
from downstream.judge import listed
from downstream.judge.listed import Facts
from pretextbench import hints
from pretextbench.console import console

HEAD = ("downstream=", "v", "chosen on val", "cost", "paper")
CHOSEN = HEAD.index("chosen on val")


def configurations() -> dict[str, Any]:
    """What asks for every protocol, as its YAML states it, by the name that `downstream=[…]` takes."""
    names = hints.options("downstream")
    chosen = compose("config", overrides=[f"downstream=[{','.join(names)}]"]).downstream
    return {name: OmegaConf.to_container(chosen[name], resolve=True) for name in names}


def protocols() -> dict[str, Facts]:
    """Every protocol in a few words: from the list, or from itself where the list does not have it.

    So are those of a `--config-dir`, which are built, with all that this takes to import.
    """
    known = listed.read()
    return {
        name: known.get(digest(config)) or _of_its_own(config) for name, config in configurations().items()
    }


def _of_its_own(config: Any) -> Facts:
    from downstream.judge.catalogue import facts

    return facts(instantiate(config, _convert_="all"))


def show_protocols() -> None:
    """Print the table, a section for each task and what is frozen in it; computes nothing."""
    every = list(protocols().items())
    every.sort(key=lambda entry: (*_section(entry[1]), entry[0]))
    rows = [_row(name, about) for name, about in every]
    widths = _widths([HEAD, *rows])
    console.print(_table([HEAD], widths, "bold"))
    for (task, _, frozen), group in groupby(zip(every, rows, strict=True), lambda e: _section(e[0][1])):
        console.print(f"{task} · frozen: {frozen}", style="italic cyan")
        console.print(_table([row for _, row in group], widths, ""))
    console.print(
        "TEST marks a legacy protocol that chooses on test, as published. Cost is how often the encoder sees "
        "the training images: 1 pass keeps its features for every head; augmented images it sees anew at "
        "every step. What each measures, and its settings: docs/protocols.md",
        style="dim",
    )


def _row(name: str, about: Facts) -> tuple[str, ...]:
    own = name if about.name == name else f"{name} ({about.name})"
    chosen, cost = about.chosen.removesuffix(" on val"), about.cost.replace("; ", "\n")
    return own, str(about.version), chosen, cost, about.paper.replace(", ", "\n")


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    """Every column as wide as its longest line, but what is chosen, which takes the rest of the page."""
    widths = [max(cell_len(line) for row in rows for line in row[i].split("\n")) for i in range(len(HEAD))]
    rest = console.width - sum(widths) + widths[CHOSEN] - (len(HEAD) - 1)
    widths[CHOSEN] = min(widths[CHOSEN], max(rest, len(HEAD[CHOSEN])))
    return widths


def _table(rows: Sequence[tuple[str, ...]], widths: Sequence[int], style: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    for width in widths:
        table.add_column(width=width, overflow="fold", style=style)
    for row in rows:
        table.add_row(*row)
    return table


def _section(about: Facts) -> tuple[str, bool, str]:
    """The task, then the protocols that leave the encoder as it is, then the others by what they freeze."""
    return about.task, about.frozen != "encoder", about.frozen
