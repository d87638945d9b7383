"""The commands of README.md and docs/ as printed: composed, dispatched, on a handful of images."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from PIL import Image
from small_encoder import small

from pretext.data.dataset import DataSet
from pretextbench import dispatch, plan, runs, schema
from pretextbench.arguments import quoted
from pretextbench.configurations import CONF
from pretextbench.context import Context

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SMALL = ["logger=none", "trainer.device=cpu", "trainer.batch_size=4", "trainer.epochs=1"]
DRY = {"benchmark", "pretrain", "evaluate"}
"""Jobs that train: their commands get dry_run=true."""
ALSO = {
    "experiment=zhang16": ["pretext.task.crop=32", "trainer.epoch_batches=2"],
    "job=colorize_benchmark": ["colorizers=[gray,mean]", "league.reader=false"],
    "job=predict": ["encoder=A"],
}
"""What a command needs here, on images of 64 pixels and in seconds."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def commands(text: str) -> list[list[str]]:
    """Words of every line of every shell block, without comments."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


RUNS = [words[2:] for words in commands(README) if words[:2] == ["python", "run.py"]]
REST = [words for words in commands(README) if words[:2] != ["python", "run.py"]]


def test_every_line_of_the_readme_is_known_here() -> None:
    """Beside these, which set up, test, or say where data are, all lines run below."""
    assert len(RUNS) > 20
    first = {tuple(words[:2]) for words in REST}
    assert first == {
        ("uv", "run"),  # .ci/run runs both from an empty environment
        ("python", "-m"),
        ("pip", "install"),
        ("export", "PRETEXTBENCH_DATA=/where/the/sets/are"),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with what the README's commands name: a photograph and encoders."""
    here = tmp_path_factory.mktemp("readme")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(here / "photo.jpg")
    Image.fromarray(pixels[::-1]).save(here / "other.jpg")
    for seed, name in enumerate(("path/to/encoder", "A", "B")):
        small(seed=seed).save(here / name)
    for name in ("sets", "photos", "…"):  # folders of data, which nothing reads
        (here / name).mkdir()
    return here


@pytest.fixture
def run(place: Path, few_scenes: DataSet, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Type a command in that folder; whatever data it names, the scenes are read."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("PRETEXTBENCH_DATA", "sets")
    monkeypatch.setattr(Context, "_read", lambda context, config: few_scenes)
    monkeypatch.setattr(plan, "_timed", lambda work, device: (work(), 0.01)[1])

    def start(words: list[str]) -> int:
        also = [more for word, extra in ALSO.items() if word in words for more in extra]
        given = [word for word in SMALL if word.split("=")[0] not in {w.split("=")[0] for w in words}]
        monkeypatch.setattr(sys, "argv", ["run.py", *words, *also, *given])
        return dispatch.main()

    return start


def job_of(words: list[str]) -> str:
    given = [word.removeprefix("job=") for word in words if word.startswith("job=")]
    return given[0] if given else "benchmark"


def timed(words: list[str]) -> Any:
    """A command; what trains for seconds, sweeps or reads every shipped row is slow."""
    long = words[:1] == ["-m"] or job_of(words) in ("colorize_benchmark", "plan")
    return pytest.param(words, id=" ".join(words), marks=[pytest.mark.slow] * long)


@pytest.mark.parametrize("words", [timed(words) for words in RUNS])
def test_a_command_of_the_readme(
    words: list[str],
    run: Callable[[list[str]], int],
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if words == ["--help"]:
        pytest.skip("a test of its own")
    if any("torchvision:" in word for word in words):
        pytest.skip("downloads weights")
    job = job_of(words)
    if job in ("colorize", "leaderboard", "status"):  # of what was computed before
        assert run(["job=pretrain"]) == 0
        assert run(["job=evaluate", "encoder=A", "label=mine", "downstream=[health]"]) == 0
    if job == "predict":
        assert run(["job=evaluate", "encoder=A", "downstream=[linear]", "keep_heads=true"]) == 0
        (head,) = (place / "outputs" / "heads").iterdir()
        (place / "outputs" / "heads" / "…").symlink_to(head)
    dry = ["dry_run=true"] if job in DRY and "dry_run=true" not in words else []
    assert run([*words, *dry]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "failed" not in shown
    if dry or "dry_run=true" in words:
        assert shown.count("what ") == 1
        assert "about" in shown.splitlines()[-1]
    if job == "colorize":
        assert list((place / "outputs" / "colorized").glob("*/photo.png"))


def test_the_lines_of_python(run: Callable[[list[str]], int], place: Path) -> None:
    block, module = blocks(README, "python")
    there = re.sub(r'"outputs/runs/[^"]*"', repr(str(place / "A")), block)
    assert there != block
    names: dict[str, Any] = {"images": torch.rand(2, 3, 64, 64)}
    exec(there, names)
    assert names["features"].maps["conv4"].shape[0] == 2
    exec(module, names)
    assert "mine" in set(names["table"]["label"])


def table(group: str) -> list[tuple[str, str]]:
    """Names in the first column of a group's table, and what is said of them."""
    text = README.partition(f"| `{group}=` |")[2].partition("\n\n")[0]
    return re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|(.*)\|$", text, flags=re.M)


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("group", ["pretext", "backbone"])
def test_the_tables_name_every_option_of_a_group_and_what_it_takes(group: str) -> None:
    named = set()
    for names, text in table(group):
        spans = [word for span in re.findall(r"`([^`]*=[^`]*)`", text) for word in span.split()]
        given = [span for span in spans if not span.endswith("…")]
        for name in re.findall(r"\w+", names):
            schema.check(compose("config", overrides=[f"{group}={name}", *given]))
        named |= set(re.findall(r"`(\w+)`", names + text))
    assert {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} <= named


DOCS = sorted(
    {
        tuple(words[2:])
        for page in (ROOT / "docs").glob("*.md")
        for words in commands(page.read_text())
        if words[:2] == ["python", "run.py"]
    }
)


@cache
def built(settings: str) -> None:
    """Build a protocol of these settings, which many commands share."""
    instantiate(json.loads(settings), _convert_="all")


@pytest.mark.parametrize("words", DOCS, ids=" ".join)
@pytest.mark.usefixtures("hydra")
def test_a_command_of_the_documentation_composes(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value of each list once, with every protocol that it names.

    Of seeds one, and of a group's options that no other word changes: `test_contracts` composes each of them.
    """
    monkeypatch.setenv("PRETEXTBENCH_DATA", "nowhere")
    choices = []
    for override in OverridesParser.create().parse_overrides(quoted([w for w in words if w != "-m"])):
        key = override.get_key_element()
        values = list(override.sweep_string_iterator()) if override.is_sweep_override() else None
        if values and (CONF / key).is_dir() and not any(word.startswith(f"{key}.") for word in words):
            assert set(values) <= {path.stem for path in (CONF / key).glob("*.yaml")}
            values = values[:1]
        values = values[:1] if values and key == "seed" else values
        choices.append([f"{key}={value}" for value in values] if values else [override.input_line or ""])
    for turn in range(max(map(len, choices))):
        cfg = compose("config", overrides=[some[turn % len(some)] for some in choices])
        schema.check(cfg)
        for settings in cfg.downstream.values():
            if "_target_" in settings:
                built(json.dumps(runs.plain(settings)))


def test_help_names_every_launcher_and_its_extra(
    run: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for launcher in ("basic", "joblib", "submitit_local", "submitit_slurm", "ray"):
        assert launcher in shown
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in extras:
        assert f"[{extra}]" in shown
