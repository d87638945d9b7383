"""`job=leaderboard records=[…]`: merged, chosen, exported and read again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_records import change, linear

from downstream.judge.record_files import import_jsonl, read_all
from pretextbench import dispatch


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)

    def start(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        return dispatch.main()

    return start


def test_the_job_merges_exports_and_reads_what_it_exported(
    made: Path, theirs: Path, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    assert run("job=leaderboard", f"output={made}", "leaderboard.export=mine/all.jsonl.gz") == 0
    count = len(read_all(made / "records"))
    shown = capsys.readouterr().out
    assert f"{count} records, {count} of them with their rows, are in mine/all.jsonl.gz" in shown
    assert len(list((tmp_path / "mine" / "rows").iterdir())) == len(
        list((made / "records" / "rows").iterdir())
    )
    assert len(import_jsonl(tmp_path / "mine" / "all.jsonl.gz")) == count

    assert run("job=leaderboard", "records=[mine/all.jsonl.gz,theirs/]", "output=board") == 0
    shown = capsys.readouterr().out
    assert "rotation" in shown
    assert f"{count} records are there more than once" in shown
    assert "not computed again" not in shown
    (board,) = (tmp_path / "board" / "boards").iterdir()
    text = " ".join((board / "leaderboard.txt").read_text().split())
    assert "Records of mine/all.jsonl.gz, theirs/." in text
    assert {"leaderboard.md", "leaderboard.tex", "leaderboard.html", "cells.json"} <= {
        path.name for path in board.iterdir()
    }

    where = change(theirs, linear, lambda r: r["result"].update(value=0.9))
    assert run("job=leaderboard", "records=[theirs]", "output=board") == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert (
        f"{where.removeprefix(f'{tmp_path}/')}: result.value 0.9 of 'mAP' is not what its rows say" in shown
    )
    assert run("job=leaderboard", "records=[nowhere]") == 1
    assert "nowhere: there is no such folder or file of records" in capsys.readouterr().err


def test_a_selection_of_several_peoples_records(
    theirs: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("job=leaderboard", "records=[theirs]", "pretext=rotation", "output=board") == 0
    capsys.readouterr()
    assert run("job=leaderboard", "records=[theirs]", "data=ccp", "output=board") == 1
    assert "no record judged on 'ccp'; recorded: scenes" in capsys.readouterr().err
    assert run("job=plan", "records=[theirs]") == 1  # it takes several seeds, and finds one
