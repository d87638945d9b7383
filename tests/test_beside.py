"""Work of another process, on half of the cores: done, failed, ended with its block, or never started."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pretextbench import beside as module
from pretextbench.beside import beside, on_half


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 2)


@pytest.mark.slow
def test_another_process_leaves_its_results_in_files(tmp_path: Path) -> None:
    # One that fails tells nobody: its results are missing.
    with (
        beside("pathlib.Path.write_text", tmp_path / "done", "by another") as wait,
        beside("pathlib.Path.write_text", tmp_path / "no folder" / "failed", "") as other,
    ):
        assert len(multiprocessing.active_children()) == 2
        wait()
        other()
        assert (tmp_path / "done").read_text() == "by another"
    assert not (tmp_path / "no folder").exists()
    assert not multiprocessing.active_children()


def test_work_ends_with_its_block(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), beside("time.sleep", 300.0):
        raise KeyboardInterrupt
    assert time.monotonic() - begun < 60
    assert not multiprocessing.active_children()


STARTS = """
import multiprocessing, time
from pretextbench import beside
beside.cores = lambda: 2
if __name__ == "__main__":
    with beside.beside("time.sleep", 300.0):
        print(multiprocessing.active_children()[0].pid, flush=True)
        time.sleep(300)
"""


def state(process: str) -> str:
    """What a process does, empty where it is gone, or waits for nothing but its parent."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True)
    return told.stdout.strip() if "Z" not in told.stdout else ""


def test_work_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "starts.py").write_text(STARTS)
    command = [sys.executable, str(tmp_path / "starts.py")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(module.__file__).parent.parent)},
    ) as one:
        assert one.stdout is not None
        worker = one.stdout.readline().decode().strip()
        assert state(worker)
        one.kill()
    until = time.monotonic() + 60
    while state(worker):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_one_core_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 1)
    with beside("time.sleep", 300.0) as wait:
        assert not multiprocessing.active_children()
        wait()


def test_half_of_the_cores_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        monkeypatch.setattr(module, "cores", lambda: 6)
        with on_half():
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 4
        torch.set_num_threads(2)
        with on_half():
            assert torch.get_num_threads() == 2  # somebody asked for fewer
        monkeypatch.setattr(module, "cores", lambda: 1)
        with on_half():
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
