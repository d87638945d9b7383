"""The way of docs/submitting.md, walked: its commands as printed, from an output to the reference set."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import suites
from downstream.judge.plain import to_plain
from downstream.judge.record_files import export_jsonl, import_jsonl
from downstream.judge.records import Record
from pretextbench import dispatch, frozen, tracking
from pretextbench.configurations import CONF

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "submitting.md").read_text()
LABEL = "tiny64 v1"
ROW = "rotation"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.S)


def line(word: str) -> list[str]:
    """The words of the one command of the page that has this word."""
    lines = [each for block in blocks("sh") for each in block.splitlines() if word in each]
    assert len(lines) == 1, word
    return shlex.split(lines[0])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where somebody has judged a row that the reference set lacks."""
    every = import_jsonl(CONF / "suite" / "tiny64.v1.jsonl.gz")
    own = [r for r in every if r.subject.pretext in (ROW, "random", "supervised") or r.subject.blind]
    files: dict[str, list[Record]] = defaultdict(list)
    for each in own:
        files[each.evaluation.digest].append(each)
    (tmp_path / "outputs" / "records").mkdir(parents=True)
    for digest, records in files.items():
        path = tmp_path / "outputs" / "records" / f"{digest}.json"
        path.write_text(json.dumps([to_plain(each) for each in records]))
    shipped = tmp_path / "conf" / "suite" / "tiny64.v1.jsonl.gz"
    export_jsonl([r for r in every if r.subject.pretext != ROW], shipped)
    monkeypatch.setattr(
        frozen, "reference_path", lambda label: shipped if label == LABEL else tmp_path / "no"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return tmp_path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    def start(words: list[str]) -> int:
        assert words[0] == "python"
        monkeypatch.setattr(sys, "argv", words[1:])
        return dispatch.main() if words[1] == "run.py" else suites.main()

    return start


@pytest.mark.slow
def test_a_row_of_somebody_elses_gets_into_the_reference_set(
    place: Path, typed: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    handed = place / "submission" / "rotation.jsonl.gz"
    assert typed(line("leaderboard.export")) == 0, capsys.readouterr().err
    count = len(import_jsonl(handed))
    assert {r.subject.pretext for r in import_jsonl(handed) if not r.subject.blind} == {
        ROW, "random", "supervised",
    }  # fmt: skip
    capsys.readouterr()

    check = line("records=[submission/rotation.jsonl.gz]")
    assert typed(check) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert ROW in shown
    assert "records are there more than once, with the same values: shown once." in shown
    assert "without their per-example rows" in shown

    before = frozen.reference_path(LABEL).read_bytes()
    records = import_jsonl(handed)
    twin = next(i for i, r in enumerate(records) if r.subject.pretext == "random" and r.result.selected)
    changed = replace(records[twin].result, value=records[twin].result.value + 0.01)
    export_jsonl([*records[:twin], replace(records[twin], result=changed), *records[twin + 1 :]], handed)
    assert typed(check) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert f"submission/rotation.jsonl.gz, line {twin + 1}" in shown
    assert "tiny64.v1.jsonl.gz, line" in shown
    assert "one score with two result.value" in shown
    export_jsonl(records, handed)

    assert typed(line("benchmarks/suites.py")) == 0
    taken = import_jsonl(frozen.reference_path(LABEL))
    assert ROW in {r.subject.pretext for r in taken}
    assert {r.evaluation.suite for r in taken} == {LABEL}
    keys = [(r.evaluation.digest, r.subject.pretext, r.evaluation.stage, r.evaluation.metric) for r in taken]
    assert len(keys) == len(set(keys)) > count
    assert frozen.reference_path(LABEL).read_bytes() != before


@pytest.mark.slow
def test_a_board_is_pushed_as_the_page_says(
    place: Path, typed: Callable[[list[str]], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[Record] = []
    monkeypatch.setattr(tracking, "push", lambda records, output, settings: pushed.extend(records))
    assert typed(line("leaderboard.push")) == 0
    assert {r.evaluation.suite for r in pushed} == {LABEL}


def test_the_pages_python_validates_against_the_published_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the development group")
    (block,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    submission = tmp_path / "submission" / "rotation.jsonl.gz"
    submission.parent.mkdir()
    with gzip.open(CONF / "suite" / "tiny64.v1.jsonl.gz", "rb") as shipped:
        made = [shipped.readline() for _ in range(3)]
    submission.write_bytes(gzip.compress(b"".join(made)))
    exec(block, {})
    entry = json.loads(made[0])
    entry["result"]["value"] = 7.5
    with gzip.open(submission, "wt") as file:
        file.write(json.dumps(entry))
    with pytest.raises(jsonschema.ValidationError, match=r"7\.5 is greater than the maximum of 1"):
        exec(block, {})


def test_what_ships_with_a_suite_is_nobodys_to_hand_on_or_make_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["job=leaderboard", "suite=tiny64", "pretext=rotation", f"output={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    assert dispatch.main() == 0
    shown = capsys.readouterr().out
    assert "rotation" in shown
    assert "simclr" not in shown  # the table is of the rows that were chosen, as an export is
    assert "redo.sh" not in shown
    monkeypatch.setattr(sys, "argv", ["run.py", *words, f"leaderboard.export={tmp_path / 'own.jsonl'}"])
    assert dispatch.main() == 1
    assert "records is one's own" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "own.jsonl").exists()
