"""The wheel, unpacked beside nothing of the checkout and used from an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]

MINE = """
from pretext.backbones import SmallNet


class Net(SmallNet):
    "A network of one's own."
"""

LOOK = """
import sys
import pretext

try:
    pretext.load(sys.argv[1])
except ValueError as error:
    print(error)
import mine
print(type(pretext.load(sys.argv[1]).backbone).__name__)
"""
"""A file's word imports nothing; what is imported is found."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as the wheel holds them."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which builds wheels, is not there; .ci/run has it")
    made = tmp_path_factory.mktemp("wheel")
    subprocess.run([uv, "build", "--quiet", "--wheel", "-o", made, ROOT], check=True, timeout=300)
    with zipfile.ZipFile(next(made.glob("*.whl"))) as file:
        file.extractall(made / "packages")
    return made / "packages"


@pytest.fixture
def run(wheel: Path, tmp_path: Path) -> Run:
    """Start Python in an empty folder, with the wheel's packages before any of a checkout."""

    def start(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(wheel), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return start


def test_it_holds_the_groups_the_command_and_types_and_nothing_else(wheel: Path) -> None:
    for package in ("pretextbench", "pretext", "downstream"):
        assert (wheel / package / "py.typed").is_file()
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.yaml")}
    assert {str(path.relative_to(wheel / "pretextbench")) for path in wheel.rglob("*.yaml")} == ours
    page = Path("downstream", "leaderboard", "page")
    assert {path.name for path in (wheel / page).rglob("*.*")} == {
        path.name for path in (ROOT / page).rglob("*.*") if path.suffix != ".pyc"
    }
    (about,) = wheel.glob("pretextbench-*.dist-info")
    assert "pretextbench = pretextbench.__main__:command" in (about / "entry_points.txt").read_text()
    assert {path.name for path in wheel.iterdir()} == {"pretextbench", "pretext", "downstream", about.name}


def test_its_own_groups_are_used(run: Run, wheel: Path) -> None:
    said = run("-c", "from pretextbench.configurations import CONF; print(CONF)").stdout
    assert Path(said.strip()) == wheel / "pretextbench" / "conf"
    assert "== Configuration groups ==" in run("-m", "pretextbench", "--help").stdout


def blocks(name: str) -> dict[str, list[str]]:
    """Code blocks of a page of docs/, by language."""
    text = (ROOT / "docs" / name).read_text()
    found = re.findall(r"```(\w+)\n(.*?)```", text, flags=re.S)
    return {kind: [code for each, code in found if each == kind] for kind, _ in found}


def test_the_task_of_the_docs_is_short() -> None:
    (code,) = blocks("adding_a_pretext_task.md")["python"]
    assert len(code.splitlines()) < 45
    after = code[code.index("class Colored") :]
    assert len(after.splitlines()) < 35


@pytest.mark.slow
def test_tasks_and_networks_of_ones_own_come_from_the_working_folder(run: Run, tmp_path: Path) -> None:
    page = blocks("adding_a_pretext_task.md")
    (task,), (config,), (shell,) = page["python"], page["yaml"], page["sh"]
    (tmp_path / "mean_color.py").write_text(task)
    (tmp_path / "mine.py").write_text(MINE)
    for path, text in {"pretext/mean_color": config, "backbone/mine": "_target_: mine.Net\n"}.items():
        file = tmp_path / "own" / f"{path}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    few = [
        "downstream.knn.ks=[5]",
        "data.train=32",
        "data.val=16",
        "data.test=16",
        "data.workers=1",
        "logger=none",
    ]
    brief = ["trainer.epochs=1", "trainer.batch_size=16", "trainer.device=cpu", "downstream=[knn]"]
    # As the installed command starts it, which has no working folder on its path.
    command = "import sys; sys.path.remove(''); from pretextbench.__main__ import command; command()"
    said = run("-c", command, *shlex.split(shell)[1:], "backbone=mine", *few, *brief).stdout
    assert re.search(r"^mean_color +1 ", said, flags=re.M), said
    runs = {path.name.split("_net_")[0]: path for path in (tmp_path / "outputs" / "runs").iterdir()}
    assert runs.keys() == {"mean_color", "random", "supervised"}
    assert "loss_chance" in (runs["mean_color"] / "history.csv").read_text()
    said = run("-c", LOOK, str(runs["mean_color"])).stdout
    assert "mine.Net' is no backbone class" in said
    assert said.splitlines()[-1] == "Net"
