"""What has changed since a score was made: which of protocol, data and code, and how to make it again."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_records import SUBJECT, record

from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from downstream.judge import provenance
from downstream.judge.evaluate import evaluate
from downstream.judge.flags import meaning
from downstream.judge.headless import evaluate_blind
from downstream.judge.plain import to_plain
from downstream.judge.provenance import outdated, scoring_digest
from downstream.judge.record_files import import_jsonl, read_all, write
from downstream.judge.records import Record
from downstream.leaderboard import build, options
from downstream.leaderboard.sheets import main_sheet
from downstream.protocol import Runtime
from pretext.backbones import SmallNet
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder
from pretext.inputs import RGB
from pretextbench import dispatch, frozen
from pretextbench.configurations import CONF
from pretextbench.staleness import ALL_BEFORE, REDO, changes, marked

LINEAR = "downstream.classification.linear"
CODE = "stale: the code that scores it has changed since"


def fresh(evaluation: str = "e0", **fields: Any) -> Record:
    return record(evaluation, **{"scoring": scoring_digest(LINEAR), "version": 1} | fields)


def said(*records: Record) -> list[list[str]]:
    return [[meaning(flag) for flag in each.result.flags] for each in marked(records).records]


def test_what_has_not_changed_has_no_mark() -> None:
    assert said(fresh()) == [[]]
    assert said(fresh(scoring=scoring_digest())) == [[]]  # as older ones are, of all scoring code
    assert said(record(protocol="of_somebody_s_own", scoring="?")) == [[]]  # nobody can say


def test_a_change_says_which_of_three_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = options.stated()["linear"]
    monkeypatch.setitem(options.stated(), "linear", now._replace(version=3))
    assert said(fresh(version=1)) == [["stale: its protocol has changed since (version 1, now 3)"]]
    assert said(fresh(version=3)) == [[]]
    assert said(fresh(version=3, scoring="old"), fresh("e1", version=3)) == [[CODE], []]
    older = fresh(version=3, utc="2025-01-01T00:00:00Z", digests={"test": "u" * 64})
    assert said(older, fresh("e1", version=3)) == [
        ["stale: the data have changed since (other splits than those of the newest score on photos)"],
        [],
    ]


def test_where_no_score_of_a_column_is_newer_a_note_says_so() -> None:
    old = [fresh("e0", scoring="old"), fresh("e1", scoring="older")]
    assert said(*old) == [[], []]
    assert marked(old).notes == (ALL_BEFORE,)
    other = fresh("e2", data="elsewhere")
    assert said(*old, other) == [[], [], []]
    assert marked([*old, other]).notes == (ALL_BEFORE,)
    assert said(*old, fresh("e3")) == [[CODE], [CODE], []]
    assert marked([*old, fresh("e3")]).notes == ()
    assert [len(flags) for flags in changes(old)] == [1, 1]  # which are made again all the same


def test_data_of_a_suite_are_those_of_its_lock() -> None:
    lock = next(lock for lock in frozen.locks() if lock.name == "tiny64")
    target, own = next(iter(lock.targets.items()))
    right = fresh(suite=lock.label, data=target, digests=own.splits, counts={"test": 3})
    wrong = fresh("e1", suite=lock.label, data=target, digests={**own.splits, "val": "x"}, counts={"test": 3})
    assert said(right, wrong) == [
        [], [f"stale: the data have changed since (other splits than {lock.label} has)"],
    ]  # fmt: skip


def test_marks_are_for_the_table_and_not_for_the_record() -> None:
    made = fresh(scoring="old", flags=("at_edge:lr",))
    shown, _ = marked([made, fresh("e1")]).records
    assert shown.result.flags[0] == "at_edge:lr"
    assert len(shown.result.flags) == 2
    assert made.result.flags == ("at_edge:lr",)
    assert replace(shown, result=made.result) == made


def test_the_digest_is_of_what_computes_a_protocols_values() -> None:
    """Its module and all that this imports; no other protocol's, no table's, no record's."""
    waiting, seen = [LINEAR, provenance.BOOTSTRAP], set()
    while waiting:
        name = waiting.pop()
        path = provenance._file(name)
        if path is not None and name not in seen:
            seen.add(name)
            waiting += provenance._imported(path)
    assert {
        LINEAR,
        "downstream.heads.linear_grid",
        "downstream.metrics.scores",
        "downstream.protocol",
    } <= seen
    assert not [name for name in seen if re.match(r"downstream\.(judge|leaderboard|detection)", name)]


def test_every_import_of_the_package_is_seen() -> None:
    """Against Python's own parser: what the expression does not see would leave a change unseen."""
    import ast

    for path in provenance.ROOM.parent.rglob("*.py"):
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "downstream":
                found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                assert not [a.name for a in node.names if a.name.startswith("downstream")], path
        assert found <= set(provenance._imported(path)), path


def test_digests_differ_by_protocol_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "downstream"
    (package / "judge").mkdir(parents=True)
    files = {
        "one.py": "from downstream.shared import (\n    a,\n    b,\n)\n",
        "two.py": "x = 1\n",
        "shared.py": "a = b = 1\n",
        "metrics/bootstrap.py": "y = 1\n",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(provenance, "ROOM", package / "judge")

    def now() -> tuple[str, str]:
        scoring_digest.cache_clear()
        provenance._imported.cache_clear()
        return scoring_digest("downstream.one"), scoring_digest("downstream.two")

    try:
        first = now()
        assert first[0] != first[1]
        (package / "shared.py").write_text("a = b = 2\n")
        second = now()
        assert second[0] != first[0]
        assert second[1] == first[1]
        assert outdated(first[0], "downstream.one")
        assert not outdated(first[1], "downstream.two")
        (package / "metrics" / "bootstrap.py").write_text("y = 2\n")
        third = now()
        assert third[0] != second[0]
        assert third[1] != second[1]
    finally:
        scoring_digest.cache_clear()
        provenance._imported.cache_clear()


def test_code_that_was_seen_to_score_alike_is_not_another(monkeypatch: pytest.MonkeyPatch) -> None:
    now = scoring_digest("downstream.classification.knn")
    groups = {"downstream.classification.knn": (frozenset({"a", now}), frozenset({"b", "c"}))}
    monkeypatch.setattr(provenance, "alike", lambda: groups)
    assert not outdated("a", "downstream.classification.knn")
    assert outdated("b", "downstream.classification.knn")
    assert outdated("a", "downstream.classification.linear")


PROBE = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=1, least_steps=0))


def test_a_score_is_made_again_where_its_code_has_changed_and_that_is_asked_for(
    few_scenes: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    encoder = Encoder(RGB(), SmallNet(3, (4, 4, 4, 4, 4))).eval()
    runtime, folder = Runtime(cache=tmp_path / "cache"), tmp_path / "records"
    again = replace(runtime, redo=True)

    def judge(how: Runtime) -> list[Record]:
        made = evaluate(encoder, PROBE, few_scenes, how, subject=SUBJECT, records=folder, draws=4)
        return made + evaluate_blind(PROBE, few_scenes, how, records=folder, draws=4)

    first = judge(runtime)
    assert {r.provenance.scoring for r in first} == {scoring_digest(LINEAR)}
    files = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    judge(again)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.json")} == files, "nothing had changed"
    for digest in {r.evaluation.digest for r in first}:
        own = [r for r in first if r.evaluation.digest == digest]
        old = [replace(r, provenance=replace(r.provenance, scoring="old")) for r in own]
        rows = {r.result.rows: (folder / "rows" / f"{r.result.rows}.npz").read_bytes() for r in own}
        write(folder, old, rows)
    assert {r.provenance.scoring for r in judge(runtime)} == {"old"}, "it was not asked for"
    assert {r.provenance.scoring for r in judge(again)} == {scoring_digest(LINEAR)}
    assert {r.provenance.scoring for r in read_all(folder)} == {scoring_digest(LINEAR)}


def test_the_board_marks_what_is_stale_and_leaves_the_commands_that_make_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = import_jsonl(CONF / "suite" / "tiny64.v1.jsonl.gz")
    made = next(r for r in every if r.evaluation.primary and r.result.selected and not r.subject.blind)
    made = replace(made, provenance=replace(made.provenance, scoring="0" * 64))
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / f"{made.evaluation.digest}.json").write_text(json.dumps([to_plain(made)]))
    monkeypatch.setattr(sys, "argv", ["run.py", "job=leaderboard", f"output={tmp_path}"])
    assert dispatch.main() == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert ALL_BEFORE in shown
    (redo,) = tmp_path.glob(f"boards/*/{REDO}")
    assert "1 evaluations are stale (changed since: scoring code of 1); 1 commands in" in shown
    (line,) = redo.read_text().splitlines()
    assert line.startswith("python run.py ")
    assert line.endswith(f"output={tmp_path} redo=true")
    assert f"downstream=[{made.evaluation.protocol}]" in line.replace("'", "")


def test_a_dirty_commit_is_a_footnote() -> None:
    clean, dirty = fresh(), fresh("e1", dirty=True, pretext="jigsaw", recipe="j")
    notes = main_sheet(build([clean, dirty])).notes
    assert "[a] made by code that differed from the commit it names." in notes
    assert not [note for note in main_sheet(build([clean])).notes if "commit" in note]
