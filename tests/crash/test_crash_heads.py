"""Ctrl-C while heads are fitted and scores resampled: what was finished stays, the same command goes on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from small_encoder import small

from downstream.judge.record_files import read_all
from pretextbench import dispatch

SMALL = [
    "data.train=64", "data.val=24", "data.test=24", "data.workers=1", "trainer.device=cpu", "logger=none",
    "downstream.knn.ks=[5]", "keep_heads=true",
]  # fmt: skip
BRIEF = {
    "linear": ("grid.epochs=1", "grid.least_steps=0", "pools=[1]"),
    "finetune": ("recipe.epochs=1", "recipe.least_steps=0"),
    "detection_frozen": ("recipe.epochs=1", "recipe.least_steps=0"),
    "goyal19_voc07_svm": ("costs=[0.1]", "dimension=64"),
}
AT = {
    "fitting a linear head": ("linear", "downstream.heads.linear_grid._descent"),
    "fitting machines": ("goyal19_voc07_svm", "downstream.heads.svm.SquaredHinge._descend"),
    "fine-tuning": ("finetune", "torch.autograd.backward"),
    "fitting a detector": ("detection_frozen", "torch.autograd.backward"),
    "resampling": ("linear", "downstream.judge.scoring.bootstrap"),
    "keeping a head": ("linear", "downstream.judge.evaluate.keep"),
}


@pytest.fixture
def pressable() -> Iterator[None]:
    """Ctrl-C does what it does in a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def judged(records: Path) -> set[str]:
    """The protocols by which the encoder is judged."""
    return {r.evaluation.protocol for r in read_all(records) if not r.subject.blind}


@pytest.mark.slow
@pytest.mark.usefixtures("pressable")
@pytest.mark.parametrize("what", AT)
def test_a_stopped_head_is_said_and_fitted_by_the_same_command(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol, place = AT[what]
    records = tmp_path / "outputs" / "records"
    small("rgb").save(tmp_path / "encoder")
    monkeypatch.chdir(tmp_path)
    brief = [f"downstream.{protocol}.{key}" for key in BRIEF[protocol]]
    words = ["job=evaluate", "encoder=encoder", f"downstream=[knn,{protocol}]", *SMALL, *brief]
    monkeypatch.setattr(sys, "argv", ["run.py", *words])

    whole = resolve_name(place)

    def press(*given: Any, **named: Any) -> Any:
        if "knn" in judged(records):
            signal.raise_signal(signal.SIGINT)
        return whole(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(place, press)
        assert dispatch.main() == 130
    shown = capsys.readouterr().err
    assert "Stopped; what is finished is kept. The same command goes on" in " ".join(shown.split())
    assert "Traceback" not in shown
    before = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert judged(records) == ({"knn", "linear"} if what == "keeping a head" else {"knn"})
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("head.json"))

    assert dispatch.main() == 0
    assert judged(records) == {"knn", protocol}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(tmp_path.rglob("head.json"))) == 1
