"""What cannot be written is said in one line: what, where and why; the rest is shown as it is."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream.judge.plain import to_plain
from downstream.judge.record_files import export_jsonl, import_jsonl
from pretext.atomic import write_bytes
from pretextbench import dispatch
from pretextbench.configurations import CONF

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def start(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["run.py", *words, "logger=none"])
        return dispatch.main()

    return start


@pytest.mark.parametrize(
    "words",
    [
        ["job=pretrain"],
        ["job=evaluate", "encoder=torchvision:resnet18@random"],
        ["job=predict", "head=head", "image=head"],
        ["job=colorize", "image=head", "colorizer=gray"],
        ["job=leaderboard", "records=[few.jsonl]"],
    ],
    ids=lambda words: words[0],
)
def test_a_file_in_the_place_of_the_output(
    words: list[str], run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "out").write_text("a file")
    export_jsonl(import_jsonl(CONF / "suite" / "scenes.v1.jsonl.gz")[:1], tmp_path / "few.jsonl")
    assert run(*words, "output=out") == 1
    shown = capsys.readouterr().err
    assert shown.splitlines()[-1].startswith("output=out cannot be written: Not a directory: out")
    assert "Traceback" not in shown
    assert (tmp_path / "out").read_text() == "a file"


def test_a_board_that_cannot_be_written_is_shown_all_the_same(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "boards").write_text("a file")
    export_jsonl(import_jsonl(CONF / "suite" / "scenes.v1.jsonl.gz"), tmp_path / "few.jsonl")
    assert run("job=leaderboard", "records=[few.jsonl]", "output=out") == 1
    said = capsys.readouterr()
    table, (*_, last) = said.out.splitlines(), said.err.splitlines()
    assert any("Scores in %" in line for line in table)
    assert any("colorization" in line for line in table)
    assert last.startswith("output=out cannot be written: Not a directory: ")


def test_a_board_is_written_though_nobody_reads_to_the_end(tmp_path: Path) -> None:
    one = next(r for r in import_jsonl(CONF / "suite" / "scenes.v1.jsonl.gz") if r.evaluation.primary)
    place = tmp_path / "out" / "records" / f"{one.evaluation.digest}.json"
    write_bytes(place, json.dumps([to_plain(one)]).encode())
    words = ["job=leaderboard", "output=out", "logger=none"]
    line = [sys.executable, str(CONF.parent / "run.py"), *words]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        job.stdout.close()  # as `head` does
        said = job.stderr.read().decode()
    assert "Traceback" not in said
    assert len(list(tmp_path.glob("out/boards/*/leaderboard.html"))) == 1


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_an_error_names_the_file_that_was_meant(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path, prefix: str, suffix: str) -> tuple[int, str]:
        raise OSError(code, os.strerror(code), f"{dir}/{prefix}x{suffix}")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match=os.strerror(code)) as refused:
        write_bytes(tmp_path / "leaderboard.md", b"x")
    assert refused.value.filename == str(tmp_path / "leaderboard.md")
    assert list(tmp_path.iterdir()) == []
