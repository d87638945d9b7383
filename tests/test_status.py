"""`job=status`: what a sweep's folder says of its members, also after a kill."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pretextbench import status, sweep
from pretextbench.locks import locked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep of six members of which none has begun."""
    made = tmp_path / "logs" / "2026-01-01_00-00-00"
    made.mkdir(parents=True)
    asked = ["pretext=colorization,rotation", "seed=range(0,3)", "downstream=[linear,finetune]"]
    OmegaConf.save({"hydra": {"overrides": {"task": asked}, "job": {}}}, made / "multirun.yaml")
    return made


def lock_and_die(folder: Path) -> None:
    with locked(folder):
        raise SystemExit(1)


def test_members_are_those_that_hydra_starts(folder: Path) -> None:
    found = status.member_overrides(folder)
    assert len(found) == 6
    assert found[1] == "pretext=colorization seed=1 downstream=[linear,finetune]"
    assert found[3] == "pretext=rotation seed=0 downstream=[linear,finetune]"


def test_every_state_is_told_from_the_others(folder: Path) -> None:
    sweep.write(folder / "0", sweep.Outcome([], ["digest"], None))
    try:
        raise ValueError("there is no input 'depth'")
    except ValueError as error:
        sweep.write(folder / "1", sweep.failed([], error))
    killed = multiprocessing.get_context("fork").Process(target=lock_and_die, args=(folder / "2",))
    killed.start()
    killed.join()
    with locked(folder / "3"):
        states = status.states(folder)
    assert [s.state for s in states] == ["done", "failed", "stopped", "running", "missing", "missing"]
    assert "there is no input 'depth'" in states[1].note
    assert status.states(folder)[3].state == "stopped"


def test_the_command_that_finishes_a_sweep_is_quoted_for_a_shell(folder: Path) -> None:
    said = status.command(folder)
    assert said.startswith("python run.py -m pretext=colorization,rotation ")
    assert "'downstream=[linear,finetune]'" in said


def test_the_installed_command_names_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/env/bin/pretextbench", "job=status"])
    assert status.command(folder).startswith("pretextbench -m pretext=colorization,rotation ")


def test_the_newest_sweep_is_shown_and_runs_beside_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = folder.parent.parent
    run = output / "runs" / "colorization_small_s0"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"spec": {"budget": {"epochs": 4}}}))
    (run / "history.csv").write_text("epoch,step\n1,10\n2,20\n")
    status.show_status(output, None)
    shown = capsys.readouterr().out
    assert "6 missing" in shown
    assert "to finish it: python run.py -m" in shown
    assert "epoch 2/4" in shown
    assert "1 stopped" in shown


def test_nothing_started_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing was started there"):
        status.show_status(tmp_path, None)
    with pytest.raises(ValueError, match=r"no multirun\.yaml"):
        status.show_status(tmp_path, str(tmp_path))


def test_one_damaged_file_hides_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.write(folder / "0", sweep.Outcome([], ["digest"], None))
    (folder / "1").mkdir()
    (folder / "1" / sweep.OUTCOME).write_text('{"overrides": [')
    output = folder.parent.parent
    for name, content in (("a", '{"spec"'), ("b", '{"spec": {"budget": {"epochs": 4}}}')):
        (output / "runs" / name).mkdir(parents=True)
        (output / "runs" / name / "config.json").write_text(content)
    status.show_status(output, None)
    said = capsys.readouterr().out
    assert "1 done, 1 damaged, 4 missing" in said
    assert "1 damaged, 1 stopped" in said
    assert f"{folder / '1' / sweep.OUTCOME} is damaged" in said
    assert f"{output / 'runs' / 'a' / 'config.json'} is damaged" in said
    assert f"delete {output / 'runs' / 'a'} to have the run made again" in said


@pytest.mark.parametrize("lines", [0, 2, 4])
def test_a_sweep_cut_short_is_named_and_its_runs_are_shown(
    folder: Path, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "multirun.yaml"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    run = folder.parent.parent / "runs" / "a"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"spec": {"budget": {"epochs": 4}}}')
    status.show_status(folder.parent.parent, None)
    said = capsys.readouterr()
    assert f"{path} is damaged" in said.err
    assert f"delete {folder} and start the sweep again" in said.err
    assert "epoch 0/4" in said.out
