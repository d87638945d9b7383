"""What a record says of the code that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from downstream.judge import provenance

TREE = (
    "downstream/judge/provenance.py", "pretext/tasks/rotation.py", "conf/pretext/rotation.yaml",
    "conf/suite/tiny64.v1.jsonl.gz", "benchmarks/results/tuning.json", "docs/results.md", "run.py",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, in which this module lies."""
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    monkeypatch.setattr(provenance, "ROOM", tmp_path / "downstream" / "judge")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "all")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def differs(tree: Path) -> bool:
    commit, dirty = provenance.code_version.__wrapped__()
    assert commit == git(tree, "rev-parse", "HEAD")
    return dirty


def test_a_result_or_a_page_that_was_written_since_is_no_other_code(tree: Path) -> None:
    assert not differs(tree)
    for name in ("benchmarks/results/tuning.json", "docs/results.md", "conf/suite/tiny64.v1.jsonl.gz"):
        (tree / name).write_text("another")
        assert not differs(tree), name


@pytest.mark.parametrize(
    "name",
    [
        "downstream/judge/provenance.py", "pretext/tasks/rotation.py", "conf/pretext/rotation.yaml",
        "pretext/tasks/of_nobodys_commit.py",
    ],
)  # fmt: skip
def test_code_and_configurations_that_differ_are_told(name: str, tree: Path) -> None:
    (tree / name).write_text("another")
    assert differs(tree)


def test_code_outside_a_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(provenance, "ROOM", tmp_path)
    assert provenance.code_version.__wrapped__() == ("", False)
