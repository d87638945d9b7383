"""Records by way of W&B: what is logged is what is read again; no server is asked."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from made_records import record
from wandb.apis.public import Api, Run

from downstream.judge.record_files import export_jsonl, import_jsonl
from downstream.judge.records import Record
from pretextbench import merging, tracking
from pretextbench.pulled import pull


@dataclass
class FakeArtifact:
    """As much of W&B's artifact as is asked for; `files` is what the server keeps."""

    type: str
    files: dict[str, Path]
    digest: str = "d0"
    aliases: list[str] = field(default_factory=lambda: ["v0", "latest"])
    downloads: int = 0

    def download(self, root: str, path_prefix: str) -> str:
        self.downloads += 1
        for name, source in self.files.items():
            if name.startswith(path_prefix):
                Path(root).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, Path(root) / name)
        return root


@dataclass
class FakeRun:
    id: str
    logged: list[FakeArtifact]

    def logged_artifacts(self) -> Iterator[FakeArtifact]:
        return iter(self.logged)


@dataclass
class FakeApi:
    projects: dict[str, list[FakeRun]]

    def runs(self, path: str) -> Iterator[FakeRun]:
        if path not in self.projects:
            raise ValueError(f"Could not find project {path}")  # as W&B says it
        return iter(self.projects[path])


def test_the_fakes_have_the_shape_of_what_they_stand_for() -> None:
    inspect.signature(Api.runs).bind(None, "me/project")
    inspect.signature(Run.logged_artifacts).bind(None)
    inspect.signature(wandb.Artifact.download).bind(None, root="x", path_prefix="y")
    inspect.signature(Api).bind(timeout=15)
    for name in ("type", "aliases", "digest"):
        assert isinstance(inspect.getattr_static(wandb.Artifact, name), property)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "served.jsonl.gz"
    export_jsonl([record("a"), record("b")], path)
    return path


def served(file: Path, **given: Any) -> FakeArtifact:
    return FakeArtifact(tracking.RECORDS, {tracking.RECORDS_FILE: file}, **given)


def test_the_newest_records_of_every_run_are_fetched_once(file: Path, tmp_path: Path) -> None:
    old, new = served(file, digest="old", aliases=["v0"]), served(file, digest="new")
    encoder = FakeArtifact("encoder", {"encoder.json": file})
    api = FakeApi({"me/project": [FakeRun("r1", [encoder, old, new]), FakeRun("r2", [])]})
    (found,) = pull("me/project", tmp_path / "kept", api)
    assert import_jsonl(found) == [record("a"), record("b")]
    assert found.is_relative_to(tmp_path / "kept")
    assert pull("me/project", tmp_path / "kept", api) == [found]
    assert (old.downloads, new.downloads, encoder.downloads) == (0, 1, 0)


def test_names_of_a_server_stay_in_the_folder(file: Path, tmp_path: Path) -> None:
    api = FakeApi({"me/..": [FakeRun("../../x", [served(file, digest="../y")])]})
    (found,) = pull("me/..", tmp_path / "kept", api)
    assert found.resolve().is_relative_to((tmp_path / "kept").resolve())


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("nothing", "wandb:nothing is none: records of W&B are named wandb:ENTITY/PROJECT"),
        ("a/b/c", "wandb:a/b/c is none"),
        ("me/empty", "wandb:me/empty: none of its runs logged records"),
        ("me/absent", r"wandb:me/absent cannot be read \(ValueError: Could not find project me/absent\)"),
    ],
)
def test_what_cannot_be_pulled_says_why(project: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        pull(project, tmp_path, FakeApi({"me/empty": [FakeRun("r", [])]}))


def test_without_a_key_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setattr(wandb, "Api", lambda **_: pytest.fail("the server was asked"))
    with pytest.raises(ValueError, match=r"needs a key of W&B: set WANDB_API_KEY, or `wandb login`"):
        pull("me/project", tmp_path)


def test_what_is_pulled_is_held_to_what_any_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.jsonl.gz"
    export_jsonl([record("a", pretext="mine\x1b[2J")], bad)
    api = FakeApi({"me/project": [FakeRun("r1", [served(bad)])]})
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(wandb, "Api", lambda timeout: api)
    with pytest.raises(ValueError, match=r"records\.jsonl\.gz, line 1: subject\.pretext: a name is printed"):
        merging.merged(["wandb:me/project"], tmp_path, False)


def test_what_is_logged_offline_comes_back_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged by W&B itself, without a server; its files, as it would upload them, are what is pulled."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    logged: list[wandb.Artifact] = []
    plain = wandb.Run.log_artifact

    def log_artifact(run: wandb.Run, artifact: wandb.Artifact, *more: Any, **named: Any) -> Any:
        logged.append(artifact)
        return plain(run, artifact, *more, **named)

    monkeypatch.setattr(wandb.Run, "log_artifact", log_artifact)
    made: list[Record] = [record("a"), record("a", metric="top1", primary=False), record("b")]
    tracking.push(made, tmp_path / "outputs", SimpleNamespace(project="test", entity=None))
    assert list(tmp_path.glob("outputs/wandb/wandb/offline-run-*/*.wandb"))
    (artifact,) = [each for each in logged if each.type == tracking.RECORDS]
    files = {name: Path(str(entry.local_path)) for name, entry in artifact.manifest.entries.items()}
    assert list(files) == [tracking.RECORDS_FILE]
    api = FakeApi({"me/project": [FakeRun("r", [FakeArtifact(artifact.type, files)])]})
    (found,) = pull("me/project", tmp_path / "kept", api)
    assert import_jsonl(found) == made
