"""Whole jobs: two starts at once, no network, and being asked to stop."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from pretextbench import dispatch, tracking

ROOT = Path(__file__).parent.parent.parent
TINY = [
    "data.train=96", "data.val=32", "data.test=32", "data.workers=1", "trainer.batch_size=32",
    "+backbone.widths=[8,8,8,8,8]", "trainer.device=cpu",
]  # fmt: skip
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments, *TINY])
        return dispatch.main()

    return start


def in_child(work: Callable[[], int], output: Path) -> int:
    """Start `work` in a process of its own, which it leaves as Python does, its prints in a file."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.stdout = sys.stderr = output.open("w", buffering=1)
            status = work()
        except SystemExit as stop:
            status = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_of_two_starts_at_once_the_second_waits_and_computes_nothing_again(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["downstream=[linear]", "downstream.linear.grid.least_steps=0", "trainer.epochs=3", "logger=none"]
    assert run("job=pretrain", "pretext=random", "logger=none") == 0  # the scenes are made
    capsys.readouterr()
    child = in_child(lambda: run(*line), tmp_path / "child.txt")
    assert run(*line) == 0
    assert status_of(child) == 0
    said = [capsys.readouterr().out, (tmp_path / "child.txt").read_text()]
    assert any("is being computed by another process; waiting for it" in text for text in said)
    assert sum(text.count("pretrain colorization: epoch 3/3") for text in said) == 1
    runs = list((tmp_path / "outputs" / "runs").glob("colorization_*"))
    assert len(runs) == 1
    with (runs[0] / "history.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    for text in said:
        assert "colorization" in text[text.rindex("Scores in %") :]


@pytest.mark.slow
def test_without_a_network_the_job_logs_offline(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(tracking, "LOGIN_SECONDS", 2)
    monkeypatch.setattr(tracking, "_silent_servers", [])
    assert run("job=pretrain", "trainer.epochs=1") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "W&B: online failed" in shown
    assert "wandb sync" in shown


@pytest.mark.slow
def test_a_job_that_is_asked_to_stop_says_so_and_goes_on_later(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["job=pretrain", "trainer.epochs=16", "logger=none", f"output={tmp_path}"]

    said = tmp_path / "child.txt"
    child = in_child(lambda: run(*line), said)
    while not (said.exists() and "epoch 2/16" in said.read_text()):
        assert os.waitpid(child, os.WNOHANG) == (0, 0), said.read_text()
        time.sleep(0.02)
    os.kill(child, signal.SIGTERM)
    assert status_of(child) == 143, said.read_text()
    first = stopped(said.read_text(), tmp_path)
    assert 2 <= first < 16

    with started([sys.executable, "run.py", *line, *TINY]) as job:
        assert job.stdout is not None
        for text in job.stdout:
            if f"epoch {first + 2}/16" in text:
                break
        job.send_signal(signal.SIGINT)
        rest = job.stdout.read()
    assert job.returncode == 130, rest
    second = stopped(rest, tmp_path)
    assert first + 2 <= second < 16

    capsys.readouterr()
    assert run(*line) == 0
    epochs = [int(found) for found in re.findall(r"epoch (\d+)/16", capsys.readouterr().out)]
    assert epochs[0] == second + 1
    assert epochs[-1] == 16


def stopped(said: str, folder: Path) -> int:
    """The epochs that a run has finished which was asked to stop."""
    assert "Traceback" not in said
    assert "The same command goes on" in said
    return len(next((folder / "runs").glob("*/history.csv")).read_text().splitlines()) - 1


def started(line: list[str]) -> subprocess.Popen[str]:
    """A job in a process of its own, in which Ctrl-C does what it does in a terminal."""
    return subprocess.Popen(
        line,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
