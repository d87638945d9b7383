"""What a person sees who types something wrong, and what a dry run says."""

from __future__ import annotations

import errno
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from hydra import compose

from pretext.data.dataset import DataSet
from pretextbench import dispatch, hints, preflight, reasons, schema, tracking
from pretextbench.context import Context

EXPORTING = [
    "job=colorize_benchmark", "league.export=file/grays", "data.train=64", "data.val=16", "data.test=16",
    "data.workers=1", "logger=none",
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("seeed=1", ["'seeed'", "Did you mean seed?"]),
        ("seed=abc", ["abc", "could not be converted to Integer"]),
        ("pretext=coloriz", ["pretext=coloriz", "Did you mean colorization?", "rotation"]),
        ("backbone=resnet8", ["Did you mean resnet18?", "alexnet", "small"]),
        ("colorizers=gray", ["colorizers is a list, in brackets: colorizers=[gray], not colorizers=gray"]),
        ("trainer.epoch=3", ["Did you mean trainer.epochs", "batch_size"]),
        ("pretext.task.neighbors=3", ["Did you mean pretext.task.neighbours"]),
        ("trainer.device=tpu", ["tpu", "auto, cpu, cuda"]),
        ("downstream=[linear,lineer]", ["downstream=lineer", "Did you mean linear?"]),
        ("input=depth", ["depth", "lightness", "sobel"]),
        ("+nonsense=1", ["'nonsense'", "pretext, backbone"]),
        ("+trainer.epoch=1", ["'epoch' of trainer", "epochs, batch_size"]),
        ("cache_gb=-1", ["cache_gb must be greater than or equal to 0", "-1"]),
        ("cache_gb=much", ["much", "could not be converted to Float"]),
        ("job=evaluate", ["encoder="]),
        ("job=colorize", ["image="]),
        ("pretext=simclr,byol", ["-m pretext=simclr,byol", "pretext=[simclr,byol]"]),
        ("seed=1,2", ["-m seed=1,2"]),
        ("pretext=", ["There is no pretext=. Options of pretext: autoencoder"]),
        ("pretext=3", ["There is no pretext=3. Options of pretext: autoencoder"]),
        ("backbone=null", ["There is no backbone=null. Options of backbone: alexnet"]),
        ("hydra/launcher=3", ["must be a string or a list"]),
        ("data@target=3", ["There is no data@target=3. Options of data: animals"]),
        ("=3", ["'=3' cannot be read as key=value"]),
        ("label=größe(1)", ["'label=größe(1)' cannot be read as key=value"]),
        ("leaderboard", ["'leaderboard' is no key=value. Did you mean job=leaderboard?"]),
        ("simclr", ["Did you mean pretext=simclr?"]),
        ("where.pretext=mine", ["Did you mean leaderboard.where.pretext? Keys: job, pretext"]),
        ("~pretext", ["pretext was taken away", "colorization"]),
        ("~backbone", ["backbone was taken away", "resnet18"]),
        ("~trainer", ["trainer was taken away", "photographs"]),
    ],
)
def test_wrong_words_get_the_right_ones(
    wrong: str,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["data.train=64", "data.val=16", "data.test=16", "data.workers=1", "logger=none"]
    monkeypatch.setattr(sys, "argv", ["run.py", wrong, *few])
    assert dispatch.main() in (1, 2)
    told = capsys.readouterr()
    shown = " ".join(told.err.split())
    assert shown not in " ".join(told.out.split()), "an error is no part of what was asked for"
    assert "Traceback" not in shown
    for words in said:
        assert words in shown, shown
    assert not (tmp_path / "outputs" / "cache").exists(), "data were made first"


def test_a_command_without_data_is_told_which_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "~data", "logger=none", f"output={tmp_path}"])
    assert dispatch.main() == 1
    assert "no data are chosen: animals, ccp" in capsys.readouterr().err


def test_the_version_is_the_programs_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "--version"])
    assert dispatch.main() == 0
    assert capsys.readouterr().out == f"pretextbench {version('pretextbench')}\n"


def test_explain_keeps_what_it_does_not_know() -> None:
    schema.register()
    assert hints.explain(ValueError("something else"), []) == "something else"


def test_a_wrong_pair_is_named_in_plain_english() -> None:
    said = preflight.mismatch("2.15.0+cpu", "0.29.2", "operator torchvision::nms does not exist")
    assert said is not None
    assert "torchvision 0.29.2 does not work with torch 2.15.0+cpu" in said
    assert "uv sync" in said
    assert preflight.mismatch("2.15.0", "0.29.2", None) is None


def test_w_and_bs_mode_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for asked, got in (("", "offline"), ("dryrun", "offline"), ("run", "online"), ("disabled", "disabled")):
        monkeypatch.setenv("WANDB_MODE", asked)
        assert tracking.mode() == got
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(ValueError, match=r"one of online.*'sometimes'"):
        tracking.mode()
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert tracking.mode() == "online"


def test_the_cache_limit_reaches_the_evaluation(hydra: None) -> None:
    for given, limit in (("cache_gb=0.5", 500_000_000), ("cache_gb=null", None), ("seed=0", 20_000_000_000)):
        context = Context(compose("config", overrides=[given, "trainer.device=cpu"]))
        assert context.runtime().cache_limit == limit


def test_settings_for_protocols_that_were_not_chosen_are_left_aside(hydra: None, few_scenes: DataSet) -> None:
    def context(*given: str) -> Context:
        made = Context(compose("config", overrides=["downstream=[linear]", "trainer.device=cpu", *given]))
        made.data = few_scenes
        return made

    assert list(context("+downstream.finetune.train_limit=7").protocols) == ["linear"]
    with pytest.raises(ValueError, match=r"'lineer', which is none of: .*linear"):
        context("+downstream.lineer.pools=[1]").protocols  # noqa: B018


@pytest.mark.slow
def test_logging_survives_a_change_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with tracking.tracked(
            project="test",
            entity=None,
            folder=Path("logs"),
            name=name,
            group="g",
            job="j",
            tags=[],
            config={},
        ) as run:
            run.log({"value": 1})
        assert list((tmp_path / name).glob("logs/wandb/offline-run-*/*.wandb"))


def test_a_configuration_that_is_no_yaml_and_an_output_that_cannot_be_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "data").mkdir(parents=True)
    (tmp_path / "own" / "data" / "mine.yaml").write_text("name: x\n\tb: 3\n")
    (tmp_path / "file").touch()
    for words, said in (
        (["--config-dir", "own", "data=mine"], "a configuration is no YAML: while scanning"),
        (["output=file/inside", "dry_run=true"], "output=file/inside cannot be written: Not a directory"),
        (EXPORTING, "league.export=file/grays cannot be written: Not a directory"),
    ):
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        assert dispatch.main() in (1, 2)
        shown = " ".join(capsys.readouterr().err.split())
        assert said in shown
        assert "Traceback" not in shown


def test_only_what_could_not_be_written_is_laid_to_the_output() -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "/there/runs/x/encoder.json")
    assert reasons.reason(missing, ["output=/there"]).startswith("FileNotFoundError")
    full, elsewhere = (OSError(errno.ENOSPC, "No space left", place) for place in ("/there/a", "/other"))
    assert "output=/there" in reasons.reason(full, ["output=/there"])
    assert reasons.reason(elsewhere, ["output=/there"]).startswith("OSError")
