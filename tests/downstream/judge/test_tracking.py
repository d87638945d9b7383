"""W&B only watches: nothing that goes wrong with it ends a run, or holds it up twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from made_records import record
from wandb.errors import CommError

from downstream.judge.record_files import picture_path
from pretextbench import tracking

GIVEN: dict[str, Any] = {
    "project": "test", "entity": None, "name": "n", "group": "g", "job": "j", "tags": [], "config": {},
}  # fmt: skip


class Run:
    """A run of W&B of which everything fails."""

    class settings:
        mode = "online"

    def __init__(self) -> None:
        self.summary = self

    def __setitem__(self, key: str, value: object) -> None:
        raise CommError("no summary")

    def log(self, *args: object, **kwargs: object) -> None:
        raise CommError("no log")

    def log_artifact(self, artifact: object) -> None:
        raise ValueError("no artifact")

    def define_metric(self, *args: object, **kwargs: object) -> None:
        raise CommError("no metric")

    def finish(self, exit_code: int) -> None:
        raise TimeoutError("no end")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_silent_servers", [])
    tracking._say_once.cache_clear()


def test_a_silent_server_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def init(mode: str, **_: Any) -> Run:
        asked.append(mode)
        if mode == "online":
            raise CommError("silence")
        return Run()

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_MODE", "online")
    for _ in range(3):
        with tracking.tracked(folder=tmp_path, **GIVEN):
            pass
    assert asked == ["online", "offline", "offline", "offline"]
    said = capsys.readouterr().out
    assert said.count("online failed (CommError: silence); now offline") == 1
    assert said.count("closing the run failed (TimeoutError: no end)") == 1


def test_even_offline_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(mode: str, **_: Any) -> Run:
        if mode != "disabled":
            raise PermissionError("read-only")
        return Run()

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with tracking.tracked(folder=tmp_path, **GIVEN) as run:
        assert isinstance(run, Run)


def test_what_cannot_be_logged_is_said_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Any = Run()
    logger = tracking.Watcher(experiment=run)
    monkeypatch.setattr(type(logger), "experiment", run)
    logger.log_metrics({"loss": 1.0})
    logger.log_image("val/picture", [np.zeros((4, 4, 3), np.uint8)])
    for file in ("encoder.safetensors", "encoder.json"):
        (tmp_path / file).write_bytes(b"x")
    picture_path(tmp_path, "e0").write_bytes(b"no picture")
    tracking.log_results(run, [record()], tmp_path, tmp_path)
    said = capsys.readouterr().out
    for what in ("logging measures", "logging pictures", "logging scores", "logging the encoder"):
        assert f"W&B: {what} failed" in said
    assert said.count("logging scores failed (CommError: no summary)") == 1


def test_the_runs_own_errors_are_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(RuntimeError, match="ours"), tracking.tracked(folder=tmp_path, **GIVEN):
        raise RuntimeError("ours")
