"""The table of a dry run: of a sweep one table, in which each run and evaluation counts once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretextbench import plans
from pretextbench.console import console
from pretextbench.plans import Plan, Planned, Step


def planned(name: str, seconds: float, *evaluations: tuple[str, float]) -> Planned:
    steps = [Step(f"{name} {what}", what, "to do", each) for what, each in evaluations]
    return Planned(Step(name, name, "to do", seconds), steps, 0.5)


def test_shared_twins_count_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twin = planned("random", 1.0, ("linear", 10.0))
    wider = planned("random", 1.0, ("linear", 10.0), ("knn", 20.0))
    for number, runs in enumerate(
        ([planned("rotation", 100.0, ("linear", 10.0)), twin], [planned("colorization", 200.0), wider])
    ):
        plans.write(tmp_path / str(number), Plan(runs, "cpu, fp32"))
    plans.write(tmp_path / "10", Plan([twin], "cuda, bf16"))
    kept = plans.read(tmp_path)
    assert [plan.runs[0].run.what for plan in kept] == ["rotation", "colorization", "random"]
    joined = plans.joined(kept)
    assert [run.run.what for run in joined] == ["rotation", "random", "colorization"]
    assert [step.what for step in joined[1].evaluations] == ["linear", "knn"]
    plans.show(kept)
    shown = capsys.readouterr().out
    assert shown.count("what ") == 1
    assert shown.count("random") == 1
    assert (
        shown.splitlines()[-1] == "about 5 min 41 s on cpu, fp32, cuda, bf16"
    )  # 100 + 10 + 1 + 10 + 20 + 200


@pytest.mark.parametrize(("width", "whole"), [(80, True), (50, False)])
def test_a_name_is_whole_where_a_line_has_room_for_it(
    width: int, whole: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "supervised_smallnet_scenes_s0_0567711226ff"
    monkeypatch.setattr(console, "_width", width)
    untrained = Planned(Step("b", "random", "to do (no training)", 4.0), [], 0.5)
    trained = Planned(Step("a", name, "to do", 104.0, 19_968), [], 0.5)
    plans.show([Plan([trained, untrained], "cpu")])
    shown = capsys.readouterr().out
    assert (name in shown) == whole
    for word in (name[:10], name[-3:], "19,968", "training)"):
        assert word in shown


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (7500, "2 h 05 min")]
)
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    assert plans.clock(seconds) == said
