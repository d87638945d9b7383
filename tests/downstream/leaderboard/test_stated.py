"""Columns of settings other than those that their protocol's name stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hydra.utils import instantiate
from made_records import record
from omegaconf import OmegaConf
from rich.console import Console

from downstream.digest import digest, settings
from downstream.judge.records import Record
from downstream.leaderboard import Tables, build
from downstream.leaderboard.options import stated
from downstream.leaderboard.sheets import sheets
from pretext.identity import identity_of

YAMLS = sorted((Path(__file__).parents[3] / "conf" / "downstream").glob("*.yaml"))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_what_is_written_down_is_what_the_yaml_says(path: Path) -> None:
    protocol = instantiate(OmegaConf.load(path), _convert_="all")
    kept = stated()[path.stem]
    assert (kept.version, kept.settings) == (protocol.version, digest(identity_of(protocol)))
    assert kept.options == settings(protocol)


def of_linear(**changes: object) -> Record:
    own = stated()["linear"]
    made = record(protocol="linear", version=own.version, settings=own.settings, options=own.options)
    if not changes:
        return made
    options = {**own.options, **changes}
    return replace(made, evaluation=replace(made.evaluation, settings=digest(options), options=options))


def shown(made: Record) -> tuple[str, str]:
    """The column's head, and the table as printed."""
    console = Console(record=True, width=200)
    Tables([made], build([made])).show(console)
    return " ".join(sheets(build([made]))[0].heads[-1]), " ".join(console.export_text().split())


def test_a_column_of_other_settings_is_marked_and_the_difference_named() -> None:
    head, text = shown(of_linear(pools=[3], train_limit=None))
    assert head.endswith("*")
    assert "* settings other than those that linear stands for: pools=[3] (not [1, 2])" in text
    assert "train_limit" not in text


def test_a_column_of_the_yamls_settings_is_not() -> None:
    head, text = shown(of_linear())
    assert "*" not in head
    assert "settings other than" not in text


def test_a_record_that_kept_no_settings_by_name_says_so() -> None:
    made = of_linear(pools=[3])
    head, text = shown(replace(made, evaluation=replace(made.evaluation, options={})))
    assert head.endswith("*")
    assert "its records did not keep them by name" in text


def test_an_older_version_is_named_and_so_is_what_came_later() -> None:
    made = of_linear(pools=[1, 2])
    options = {key: value for key, value in made.evaluation.options.items() if key != "train_limit"}
    old = replace(made.evaluation, version=0, options=options)
    _, text = shown(replace(made, evaluation=old))
    assert "version 0 (not 1), without train_limit, which came later" in text
