"""The command that makes a record again: what Hydra composes from it is what the record was made of."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra import compose
from omegaconf import OmegaConf

from downstream.judge.record_files import import_jsonl
from downstream.judge.records import Record
from pretextbench.commands import command
from pretextbench.configurations import CONF

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
FILES = [
    CONF / "suite" / "tiny64.v1.jsonl.gz",
    CONF / "suite" / "scenes.v1.jsonl.gz",
    *sorted(RESULTS.glob("*.gz")),
]
GROUPS = (
    "pretext",
    "colorizer",
    "backbone",
    "data",
    "target",
    "trainer",
    "input",
    "initialisation",
    "calibration",
    "seed",
)
OF_MACHINES = ("data.root", "target.root", "trainer.device")


def chosen(path: Path) -> list[Record]:
    """Of each pretext task and protocol of a file, one record."""
    records = [r for r in import_jsonl(path) if not r.subject.blind and r.evaluation.primary]
    return list({(r.subject.pretext, r.subject.input, r.evaluation.protocol): r for r in records}.values())


def leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from leaves(f"{key}.{name}", each)
    else:
        yield key, value.value if isinstance(value, Enum) else value


def parts(config: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """What of a configuration determines a score, by dotted key; classes by their names, since they move."""
    found = dict(pair for group in GROUPS for pair in leaves(group, config.get(group)))
    if config["job"]["name"] == "colorize_benchmark":
        found |= leaves("league", {**config["league"], "workers": None})
        found |= leaves("colorizers", config["colorizers"])
    else:
        found |= leaves("protocol", config["downstream"].get(protocol))
    return {
        key: value.rpartition(".")[2] if key.endswith("_target_") else value
        for key, value in found.items()
        if key not in OF_MACHINES
    }


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".")[0])
def test_what_is_composed_is_what_the_record_was_made_of(path: Path) -> None:
    records = chosen(path)
    assert len(records) > 5
    for record in records[:: max(1, len(records) // 4)]:
        python, run, *words = shlex.split(command(record))
        assert (python, run) == ("python", "run.py")
        composed: Any = OmegaConf.to_container(compose("config", words), resolve=True)
        protocol = record.evaluation.protocol
        if composed["colorizers"]:
            composed |= taken_by_name(record.subject.pretext)
        else:
            assert list(composed["downstream"]) == [protocol] or "suite" in shlex.join(words)
        wanted, made = parts(record.provenance.config, protocol), parts(composed, protocol)
        assert {key: made.get(key) for key in wanted} == wanted, shlex.join(words)


def taken_by_name(system: str) -> dict[str, Any]:
    """What a league composes by itself of a system that it was given the name of."""
    group = "colorizer" if (CONF / "colorizer" / f"{system}.yaml").is_file() else "pretext"
    own = OmegaConf.to_container(compose("config", [f"{group}={system}"])[group], resolve=True)
    return {"pretext": None} | {group: own}


def with_config(record: Record, **fields: Any) -> Record:
    config = {**record.provenance.config, **fields}
    return replace(record, provenance=replace(record.provenance, config=config))


@pytest.fixture(scope="module")
def real() -> Record:
    return chosen(RESULTS / "ccp_tuned.jsonl.gz")[0]


@pytest.mark.parametrize(("group", "system"), [("pretext", "iizuka"), ("colorizer", "gupta")])
def test_a_league_that_took_something_else_under_a_name_has_no_command(group: str, system: str) -> None:
    """A league composes whom it is given by name: nothing on a command line could say the difference."""
    record = next(r for r in chosen(RESULTS / "league.jsonl.gz") if r.subject.pretext == system)
    assert f"colorizers=[{system}]" in command(record)
    changed = with_config(record, **{group: {**record.provenance.config[group], "paper": "another"}})
    assert command(changed) == ""


def test_what_differs_from_its_option_is_said(real: Record) -> None:
    words = shlex.split(command(with_config(real, seed=7, input="lab")))
    assert {"seed=7", "input=lab"} <= set(words)
    task = real.provenance.config["pretext"]
    words = shlex.split(
        command(with_config(real, pretext={**task, "optimizer": {**task["optimizer"], "lr": 0.5}}))
    )
    assert "pretext.optimizer.lr=0.5" in words


def test_what_a_task_needs_is_said_where_it_was_not_given() -> None:
    """SimCLR asks for batches of 256: the trainer's own 64 then has to be said, and 256 has not."""
    record = next(r for r in chosen(FILES[0]) if r.subject.pretext == "simclr")
    trainer = record.provenance.config["trainer"]
    assert trainer["batch_size"] == 256
    assert "batch_size" not in command(record)
    assert "trainer.batch_size=64" in command(with_config(record, trainer={**trainer, "batch_size": 64}))


@pytest.mark.parametrize(
    "value", ["$(touch x)", "a;b", "`x`", "a b", "a\nb", "${oc.env:HOME}", "../x y", "x,y"]
)
def test_no_command_is_made_of_what_a_shell_or_hydra_would_read(real: Record, value: str) -> None:
    """Whatever is no plain name or number ends in no command at all."""
    config = real.provenance.config
    for changed in (
        {"input": value},
        {"seed": value},
        {"pretext": {**config["pretext"], "name": value}},
        {"pretext": {**config["pretext"], "task": {**config["pretext"]["task"], "crop": value}}},
        {"pretext": {**config["pretext"], value: 1}},
        {"backbone": {"_target_": value}},
        {"job": {"name": value}},
        {"job": {"name": "evaluate"}, "encoder": value},
    ):
        assert command(with_config(real, **changed)) == ""
    suite = replace(real, evaluation=replace(real.evaluation, suite=f"{value} v1", protocol=value))
    assert command(suite) == ""


def test_a_command_starts_no_code_that_a_record_names(real: Record) -> None:
    pretext = real.provenance.config["pretext"]
    for part, target, known in (
        ("task", "os.system", False),
        ("optimizer", "pretext.atomic.write_bytes", False),
        ("optimizer", "torch.optim.SGD", True),
    ):
        changed = {**pretext, part: {**pretext[part], "_target_": target}}
        assert (target in command(with_config(real, pretext=changed))) == known
    added = {**pretext, "task": {**pretext["task"], "more": {"_target_": "os.system"}}}
    assert command(with_config(real, pretext=added)) == ""


@pytest.mark.parametrize("config", [{}, {"job": None}, {"job": {"name": "benchmark"}}, {"job": {"name": 3}}])
def test_what_kept_no_configuration_has_no_command(real: Record, config: dict[str, Any]) -> None:
    assert command(replace(real, provenance=replace(real.provenance, config=config))) == ""
