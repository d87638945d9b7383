"""`job=demo`: three scores, two gains, a picture."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from downstream.judge.record_files import read_all
from downstream.judge.records import Record
from pretext.fit import Pretrained
from pretextbench import beside, demo, dispatch
from pretextbench.context import Context
from pretextbench.running import pretrain_and_judge
from pretextbench.runs import Run

SMALL = [
    "data.train=64", "data.val=48", "data.test=48", "data.workers=1", "trainer.epochs=1",
    "trainer.device=cpu",
    "+backbone.widths=[8,8,8,8,8]",
]  # fmt: skip


@pytest.mark.slow
def test_the_demo_shows_a_gain_and_what_destroys_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_here = []

    def watched(context: Context, run: Run) -> list[Record]:
        if Pretrained.read(run.folder) is None:
            made_here.append(context.cfg.data.colour)
        return pretrain_and_judge(context, run)

    monkeypatch.setattr(beside, "cores", lambda: 2)
    monkeypatch.setattr(demo, "pretrain_and_judge", watched)
    monkeypatch.setattr(sys, "argv", ["run.py", "job=demo", f"output={tmp_path}", *SMALL])
    assert dispatch.main() == 0
    assert made_here == ["semantic"] * 2  # the other row came from another process
    said = capsys.readouterr().out
    rows = [r for r in read_all(tmp_path / "records") if r.result.selected and r.evaluation.primary]
    scores = [r for r in rows if not r.subject.blind]
    assert len(scores) == 3
    assert len({r.data.digests["test"] for r in scores}) == 1  # all are judged on the same scenes
    assert len({r.subject.pretraining_digest for r in scores}) == 2  # and two saw other colours
    assert {r.subject.pretext for r in scores} == {"random", "colorization"}
    shown = [float(number) for number in re.findall(r"^.*?(\d+\.\d)(?:  |$)", said, flags=re.M)]
    for record in scores:
        assert round(100 * record.result.value, 1) in shown
    assert len(re.findall(r"[+-]\d+\.\d(?:±\d+\.\d| \+\d+\.\d −\d+\.\d)", said)) == 2
    assert (tmp_path / "demo.png").is_file()


def test_a_dry_demo_says_what_it_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "job=demo", f"output={tmp_path}", "dry_run=true", *SMALL])
    assert dispatch.main() == 0
    said = capsys.readouterr().out
    assert said.count("colorization_smallnet_scenes") == 2
    assert "supervised" not in said
