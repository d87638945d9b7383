"""`job=protocols`: every protocol that `downstream=[…]` takes, in a table."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from hydra import compose
from hydra.utils import instantiate
from rich.table import Table

from conf.console import console
from downstream.catalogue import facts
from downstream.protocol import Protocol

FOLDER = Path(__file__).parent / "downstream"


def protocols() -> dict[str, Protocol]:
    """Every protocol as its YAML states it, by the name that `downstream=[…]` takes."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    chosen = compose("config", overrides=[f"downstream=[{','.join(names)}]"]).downstream
    return {name: instantiate(chosen[name], _convert_="all") for name in names}


def show_protocols() -> None:
    """Print the table, a section a task; computes nothing."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("downstream=", "v", "frozen", "chosen", "cost", "paper"):
        table.add_column(column, overflow="fold", no_wrap=column in ("downstream=", "paper"))
    every = [(name, facts(protocol)) for name, protocol in protocols().items()]
    every.sort(key=lambda entry: (entry[1].task, entry[1].frozen != "encoder", entry[0]))
    for task, group in groupby(every, key=lambda entry: entry[1].task):
        table.add_section()
        table.add_row(task, style="italic cyan")
        for name, about in group:
            own = name if about.name == name else f"{name} ({about.name})"
            paper = about.paper.replace(", ", ",\n")
            table.add_row(own, str(about.version), about.frozen, about.chosen, about.cost, paper)
    console.print(table)
    console.print(
        "Chosen on val; TEST marks a legacy protocol that chooses on test, as published. Cost is how often "
        "the encoder sees the training images: 1 pass keeps its features for every head. What each "
        "measures, and its settings: docs/protocols.md",
        style="dim",
        highlight=False,
    )
