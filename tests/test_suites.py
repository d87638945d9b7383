"""Frozen suites: their locks, their targets in one command, their reference rows."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra import compose
from hydra.utils import instantiate
from made_records import record
from omegaconf import DictConfig

from benchmarks.suites import alike, records_of
from downstream.digest import digest
from downstream.judge import class_names, provenance
from downstream.judge.record_files import export_jsonl, pack_rows, read_all, write
from downstream.judge.records import Record
from downstream.leaderboard.options import stated
from pretext.data.dataset import DataSet
from pretext.identity import identity_of
from pretextbench import dispatch, frozen, suites
from pretextbench.configurations import CONF
from pretextbench.context import Context

NAMES = sorted(path.stem for path in (CONF / "suite").glob("*.yaml"))


@pytest.fixture
def composed(hydra: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DictConfig]:
    monkeypatch.setenv("PRETEXTBENCH_DATA", "nowhere")
    return lambda *overrides: compose("config", overrides=list(overrides))


def targets(name: str, composed: Callable[..., DictConfig]) -> dict[str, DictConfig]:
    suite = composed(f"suite={name}")
    of_many = {target: composed(f"suite={name}/{target}") for target in suite.suite.targets}
    return of_many or {name: suite}


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_suite_is_what_its_lock_says(name: str, composed: Callable[..., DictConfig]) -> None:
    """What moves a digest makes a new version of the suite: raise it, then `benchmarks/suites.py lock`."""
    lock = frozen.read_lock(frozen.lock_path(name))
    assert (lock.name, lock.version) == (name, composed(f"suite={name}").suite.version)
    found = targets(name, composed)
    assert found.keys() == lock.targets.keys()
    for target, cfg in found.items():
        kept = lock.targets[target]
        assert suites.read_as(cfg.data) == lock.pretraining, target
        assert suites.read_as(cfg.target or cfg.data) == kept.config, target
        chosen = {name: node for name, node in cfg.downstream.items() if "_target_" in node}
        now = {name: digest(identity_of(instantiate(node, _convert_="all"))) for name, node in chosen.items()}
        assert now == kept.protocols, target


def test_the_data_of_the_scenes_are_those_of_the_lock(
    composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = composed("suite=scenes", f"output={tmp_path}", "data.workers=1", "data.train=8", "data.val=8")
    found = {name: split.digest for name, split in Context(cfg).data.splits.items()}
    kept = frozen.read_lock(frozen.lock_path("scenes")).targets["scenes"].splits
    assert found["test"] == kept["test"]


@pytest.mark.slow
def test_the_data_of_the_photographs_are_those_of_the_lock(
    hydra: None, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETEXTBENCH_DATA", str(real_data))
    kept = frozen.read_lock(frozen.lock_path("tiny64")).targets
    for target in ("ccp", "animals"):
        context = Context(compose("config", [f"suite=tiny64/{target}", f"output={tmp_path}"]))
        assert {name: split.digest for name, split in context.target.splits.items()} == kept[target].splits


def locked(context: Context) -> frozen.Lock:
    return suites.lock_of("few", 2, [("scenes", context)])


def few(cfg: DictConfig, data: DataSet) -> Context:
    return Context(cfg, data)


def test_an_evaluation_is_of_a_suite_by_its_data_and_settings(
    composed: Callable[..., DictConfig], few_scenes: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = few(composed("downstream=[linear,health]"), few_scenes)
    monkeypatch.setattr(suites, "locks", lambda: (locked(context),))
    assert [suites.label(few_scenes, p) for p in context.protocols.values()] == ["few v2", "few v2"]
    other = few(composed("downstream=[linear,finetune]", "downstream.linear.pools=[1]"), few_scenes)
    assert [suites.label(few_scenes, p) for p in other.protocols.values()] == ["", ""]
    shorter = DataSet("scenes", few_scenes.train, few_scenes.train, few_scenes.test)
    assert suites.label(shorter, context.protocols["linear"]) == ""


SMALL = [
    "logger=none", "trainer.device=cpu", "trainer.epochs=1", "trainer.batch_size=32", "data.workers=1",
    "data.train=96", "data.val=32", "data.test=32", "+backbone.widths=[8,8,8,8,8]",
    "downstream.linear.grid.epochs=1", "downstream.linear.grid.least_steps=0",
]  # fmt: skip


TARGET = "# @package _global_\ndefaults:\n"


@pytest.fixture
def own_suite(tmp_path: Path) -> Path:
    """A folder of configurations with a suite of two sets of scenes, and one that is not there."""
    folder = tmp_path / "own"
    (folder / "suite/mine").mkdir(parents=True)
    (folder / "suite/mine.yaml").write_text(
        "# @package _global_\nsuite: {name: mine, version: 1, targets: [red, blue, absent]}\n"
        "leaderboard: {reference: true}\n"
    )
    made = "target: {_target_: toy.named_scenes, name: NAME, seed: SEED}\n"
    for name, seed in (("red", "7"), ("blue", "8")):
        text = made.replace("NAME", name).replace("SEED", seed)
        (folder / f"suite/mine/{name}.yaml").write_text(f"{TARGET}  - override /downstream: [linear]\n{text}")
    (folder / "suite/mine/absent.yaml").write_text(f"{TARGET}  - override /data@target: animals\n")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["run.py", *line])
    return dispatch.main()


@pytest.mark.slow
def test_one_command_judges_on_every_target_and_ships_rows(
    own_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRETEXTBENCH_DATA", str(tmp_path / "nowhere"))
    output = tmp_path / "outputs"
    line = ["--config-dir", str(own_suite), f"output={output}", "suite=mine", "pretext=rotation", *SMALL]
    assert run(monkeypatch, *line) == 0
    said = capsys.readouterr().out
    assert "mine is not complete: absent is left out" in " ".join(said.split())
    assert len(list((output / "runs").glob("rotation_*"))) == 1  # pretrained once
    records = [r for r in read_all(output / "records") if not r.subject.blind]
    assert {(r.subject.pretext, r.evaluation.data) for r in records} == {
        (name, data) for name in ("rotation", "random", "supervised") for data in ("red", "blue")
    }
    assert {r.evaluation.suite for r in records} == {""}  # there is no lock
    board = next((output / "boards").glob("*/leaderboard.md")).read_text()
    assert "red" in board
    assert "blue" in board

    # With the twins among the rows that ship, a second person computes the asked-for run alone.
    shipped = tmp_path / "shipped.jsonl"
    export_jsonl([r for r in records if r.subject.pretext != "rotation"], shipped)
    lock = frozen.Lock("mine", 1, "", {}, {})
    monkeypatch.setattr(suites, "locks", lambda: (lock,))
    monkeypatch.setattr(frozen, "reference_path", lambda label: shipped)
    second = tmp_path / "second"
    line[2] = f"output={second}"
    assert run(monkeypatch, *line) == 0
    assert [path.name.split("_")[0] for path in (second / "runs").iterdir()] == ["rotation"]
    assert "supervised" in next((second / "boards").glob("*/leaderboard.md")).read_text()
    assert run(monkeypatch, *line, "leaderboard.reference=false", "dry_run=true") == 0
    assert "supervised_smallnet" in capsys.readouterr().out


def test_what_ships_says_nothing_of_the_machine_it_was_made_on(tmp_path: Path) -> None:
    config = {
        "output": "/there/outputs",
        "data": {"root": "/there/data", "val": 4},
        "target": None,
        "seed": 1,
    }
    made = record()
    made = replace(made, provenance=replace(made.provenance, config=config))
    content = pack_rows({"scores": np.zeros(2)})
    made = replace(made, result=replace(made.result, rows=hashlib.sha256(content).hexdigest()))
    write(tmp_path / "records", [made], {made.result.rows: content})
    (found,) = records_of(tmp_path)
    assert found.provenance.config == {
        "output": "outputs", "data": {"root": "data", "val": 4}, "target": None, "seed": 1,
    }  # fmt: skip
    assert replace(found, provenance=made.provenance) == made
    export_jsonl([found], tmp_path / "one.jsonl.gz")
    assert records_of(tmp_path / "one.jsonl.gz") == [found]


def test_code_is_held_to_score_alike_only_where_every_score_that_was_made_again_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provenance, "alike", dict)

    def made(code: str, value: float = 0.5, seed: int = 0) -> Record:
        one = record(seed=seed)
        of = replace(one.evaluation, digest=f"{seed:064d}", protocol="knn")
        return replace(
            one,
            evaluation=of,
            result=replace(one.result, value=value),
            provenance=replace(one.provenance, scoring=code, weights="w"),
        )

    knn = "downstream.classification.knn"
    found = alike([made("a"), made("b", seed=1)], [made("c"), made("c", seed=1)])
    assert found[knn] == [["a", "b", "c"]]
    assert alike([made("a"), made("b", seed=1)], [made("c"), made("d", seed=1)])[knn] == [
        ["a", "c"], ["b", "d"],
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"by knn on .* was 0\.5 and is 0\.6"):
        alike([made("a"), made("b", seed=1)], [made("c"), made("c", 0.6, seed=1)])
    with pytest.raises(ValueError, match="made again"):
        alike([made("a")], [made("c", seed=1)])
    other = made("c")
    with pytest.raises(ValueError, match="other weights"):
        alike([made("a")], [replace(other, provenance=replace(other.provenance, weights="v"))])


@pytest.mark.parametrize("lock", frozen.locks(), ids=lambda lock: lock.name)
def test_classes_of_rows_that_ship_have_names(lock: frozen.Lock) -> None:
    records = frozen.reference(lock.label)
    named = class_names.read(class_names.files([frozen.FOLDER], records), pytest.fail)
    single = [r for r in records if r.evaluation.metric.startswith("IoU_")]
    assert single
    for each in single:
        names = named[each.data.digests[each.evaluation.split]][each.evaluation.task]
        assert int(each.evaluation.metric.removeprefix("IoU_")) < len(names)
    assert names[0] in ("background", "ground")


@pytest.mark.parametrize("lock", frozen.locks(), ids=lambda lock: lock.name)
def test_rows_that_ship_are_comparable_where_one_column_mixes_code(lock: frozen.Lock) -> None:
    groups = provenance.alike()
    codes: dict[str, set[str]] = {}
    for each in frozen.reference(lock.label):
        codes.setdefault(each.evaluation.protocol, set()).add(each.provenance.scoring)
    for protocol, found in codes.items():
        module = stated()[protocol].module
        assert len(found) == 1 or any(found <= group for group in groups.get(module, ())), protocol
