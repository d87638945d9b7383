"""What starting the command imports: jobs that only say what is there, and refusals, do without torch."""

from __future__ import annotations

import gc
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from pretextbench import dispatch, jobs
from pretextbench.configurations import CONF
from pretextbench.jobs import NAMES, READERS

ROOT = Path(__file__).parent.parent
SLOW = {"torch", "torchvision", "pytorch_lightning", "timm", "wandb", "sklearn", "matplotlib", "skimage"}
TABLES = {"pandas", "jinja2", "scipy.optimize", "scipy.stats"}
"""What is not worth its import where tables are made and no frame is asked for."""
RECORDS = ROOT / "benchmarks" / "results" / "ccp_tuned.jsonl.gz"


def started(words: list[str], folder: Path, status: int = 0) -> tuple[str, set[str]]:
    """What a command prints and says, and the packages that it imports, by what Python itself reports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "run.py"), *words],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PRETEXTBENCH_DATA"} | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr[-2000:]
    imported = re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.M)
    assert "pretextbench.dispatch" in imported
    said = re.sub(r"^import time:.*\n", "", done.stderr, flags=re.M)
    return done.stdout + said, {name.partition(".")[0] for name in imported} | TABLES.intersection(imported)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "== Configuration groups =="),
        (["job=protocols"], "classification · frozen: encoder"),
        (["job=status", "output=there"], "1 missing"),
        (["job=leaderboard", "output=there"], "ccp"),
        (["job=plan", "output=there", "suite=scenes", "plan.seeds=[3]", "plan.rows=2"], "fcn_finetune"),
    ],
)
def test_jobs_that_only_say_what_is_there_do_without_torch(
    words: list[str], said: str, tmp_path: Path
) -> None:
    if "output=there" in words:
        make_output(tmp_path / "there")
    shown, imported = started(words, tmp_path)
    assert said in shown
    assert not imported & (SLOW | TABLES)
    assert not [path for path in tmp_path.rglob("logs/*") if path.name != "sweep"]  # nothing was run


def make_output(folder: Path) -> None:
    """A sweep that was started, and some committed records as a run leaves them."""
    (folder / "logs" / "sweep").mkdir(parents=True)
    (folder / "logs" / "sweep" / "multirun.yaml").write_text(
        "hydra:\n  overrides:\n    task: [pretext=random]\n  job: {name: x}\n"
    )
    (folder / "records").mkdir()
    with gzip.open(RECORDS, "rt") as lines:
        for number, line in enumerate(lines):
            (folder / "records" / f"{number}.json").write_text(f"[{line}]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=ccp"], "ccp needs a data folder: set data.root=PATH or the environment variable"),
        (["data=folder", "data.root=nowhere"], "nowhere; set data.root=PATH"),
        (["data@target=stl10", "target.root=nowhere"], "or target.download=true to fetch the set"),
        (["job=evaluate", "encoder=nowhere/at_all"], "no encoder 'nowhere/at_all'"),
        (["job=cka", "encoder=torchvision:resnet18@random"], "job=cka needs against="),
        (["job=colorize", "image=nowhere.jpg"], "there is no image or folder nowhere.jpg"),
    ],
)
def test_a_missing_path_is_told_before_torch_is_imported(words: list[str], said: str, tmp_path: Path) -> None:
    shown, imported = started([*words, "logger=none"], tmp_path, status=1)
    assert said in shown
    assert not imported & SLOW


def test_every_job_has_a_module_and_every_module_a_job() -> None:
    assert sorted(path.stem for path in (CONF / "job").glob("*.yaml")) == list(NAMES)
    assert set(READERS) < set(NAMES)


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (["job=leaderboard"], "_read"),
        (["job=status", "sweep=x"], "_read"),
        (["job=pretrain", "job=protocols"], "_read"),
        (["job=protocols", "job=pretrain"], "_once"),
        ([], "_once"),
        (["suite=tiny64"], "_once"),
        (["job=leaderboard", "-m"], "dispatch"),
        (["job=leaderboard", "hydra.mode=MULTIRUN"], "dispatch"),
        (["job=pretrain", "--cfg", "job"], "dispatch"),
        (["--config-dir", "own", "--help"], "dispatch"),
    ],
)
def test_one_job_is_composed_once(words: list[str], way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    for name in ("_read", "_once", "dispatch"):
        monkeypatch.setattr(dispatch, name, lambda *_, name=name: gone.append(name))
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    assert dispatch.main() == 0
    assert gone == [way]


@pytest.mark.parametrize(
    "words", [["job=pretrain"], ["job=benchmark", "pretext=rotation", "output=there", "label=größe"]]
)
def test_a_job_meets_what_hydra_itself_makes_of_the_words(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = []
    monkeypatch.setattr(dispatch.jobs, "run", lambda cfg: met.append((cfg, HydraConfig.get())) or [])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    assert dispatch.main() == 0
    monkeypatch.setattr(dispatch, "_plain", lambda _: False)
    assert dispatch.main() == 0
    (own, of_own), (theirs, of_theirs) = met
    assert own == theirs
    for name in ("mode", "callbacks", "overrides"):
        assert of_own[name] == of_theirs[name], name
    assert of_own.job.name == of_theirs.job.name
    folders = [Path(each.runtime.output_dir) for each in (of_own, of_theirs)]
    assert folders[0].parent == folders[1].parent
    assert all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize("words", [[], ["suite=tiny64", "pretext=rotation"]])
def test_help_is_what_hydra_prints(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", *words, "--help"])
    assert dispatch.main() == 0
    own = capsys.readouterr().out
    monkeypatch.setattr(dispatch, "_plain", lambda _: False)
    with pytest.raises(SystemExit, match="0"):
        dispatch.main()
    assert capsys.readouterr().out == own
    assert "\nsuite/tiny64: animals, ccp" in own


@pytest.mark.parametrize("name", NAMES)
def test_garbage_is_collected_again_where_a_job_computes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "import_module", lambda _: SimpleNamespace(run=lambda _: [str(gc.isenabled())]))
    monkeypatch.setattr(jobs.places, "check", lambda _: None)
    gc.disable()
    try:
        told = jobs.run(OmegaConf.create({"job": {"name": name}}))
    finally:
        gc.enable()
    assert told == [str(name not in READERS)]


def ended(body: str) -> subprocess.CompletedProcess[str]:
    """A process whose `main` is `body`; the last thing that Python tears down in it says so."""
    program = f"""
import atexit, sys
from pretextbench import __main__

class Torn:
    def __del__(self):
        print("torn down", flush=True)

kept = Torn()

def main():
    {body}

__main__.main = main
__main__.command()
"""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("status", [0, 1, 130])
def test_a_command_ends_at_once_with_all_that_it_said_and_promised(status: int) -> None:
    done = ended(f"atexit.register(print, 'promised'); print('said'); return {status}")
    assert (done.returncode, done.stdout, done.stderr) == (status, "said\npromised\n", "")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [("raise SystemExit(143)", 143, ""), ("raise RuntimeError('untold')", 1, "RuntimeError: untold")],
)
def test_a_command_that_is_broken_off_ends_as_python_does(body: str, status: int, error: str) -> None:
    done = ended(body)
    assert (done.returncode, done.stdout) == (status, "torn down\n")
    assert error in done.stderr
