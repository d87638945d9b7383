"""Whatever file under `output` is cut short: it is named with what to delete, or made anew."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream.features.cache import ArrayCache
from downstream.judge import class_names
from downstream.judge.address import stored
from downstream.judge.record_files import read_all, read_rows
from downstream.judge.records import Record, RecordError
from pretext.data.embedded import scenes
from pretext.fit import Pretrained, load_task
from pretextbench import dispatch, status, sweep
from pretextbench.recorded import recorded

TINY = [
    "data.train=96", "data.val=32", "data.test=32", "data.workers=1", "trainer.epochs=1",
    "trainer.batch_size=32", "+backbone.widths=[8,8,8,8,8]", "trainer.device=cpu", "logger=none",
]  # fmt: skip
LINE = ["-m", "pretext=random", "downstream=[knn]", "downstream.knn.ks=[5]"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a sweep of one member leaves."""
    output = tmp_path_factory.mktemp("damage") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["run.py", *LINE, *TINY, f"output={output}"])
        assert dispatch.main() == 0
    return output


def rows_of(path: Path) -> object:
    records = path.parents[1]
    return read_rows(records, next(r for r in read_all(records) if r.result.rows == path.stem))


def features_of(path: Path) -> None:
    entry = path.parent
    assert ArrayCache(entry.parent).read(entry.name) is None
    assert not entry.exists(), "a damaged entry was kept"


def pack_of(path: Path) -> object:
    return scenes(str(path.parents[1]), train=96, val=32, test=32, workers=1)


def named(path: Path) -> object:
    def fail(error: RecordError) -> None:
        raise error

    return class_names.read({path.stem: path}, fail)


def shown(path: Path) -> None:
    """What only `job=status` reads; it does not stop there."""


KINDS: dict[str, Callable[[Path], object]] = {
    "runs/*/result.json": lambda path: Pretrained.read(path.parent),
    "runs/*/config.json": shown,
    "runs/*/history.csv": shown,
    "runs/*/task.*": lambda path: load_task(path.parent),
    "runs/*/encoder.*": lambda path: load_task(path.parent),
    "records/*.json": lambda path: stored(path.parent, path.stem),
    "records/rows/*.npz": rows_of,
    "records/classes/*.json": named,
    "cache/data/*/*": pack_of,
    "cache/features/features/*/*": features_of,
    "logs/*/*/outcome.json": shown,
    "logs/*/multirun.yaml": shown,
}
"""Every file that something reads, by what reads it."""

WRITTEN_ONLY = ("runs/*/samples/*", "boards/*/*", "boards/*/pictures/*", "pictures/*", "logs/*/*/*.log")


def kind_of(path: Path) -> str | None:
    if path.name.endswith(".lock") or any(path.match(pattern) for pattern in WRITTEN_ONLY):
        return None
    found = [kind for kind in KINDS if path.match(kind)]
    assert len(found) == 1, f"nothing says what becomes of a damaged {path}"
    return found[0]


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_every_file_in_turn(
    whole: Path, tmp_path: Path, keep: float, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    kinds = {path: kind for path in files if (kind := kind_of(path.relative_to(whole))) is not None}
    assert set(kinds.values()) == set(KINDS), "a kind of file was not left: the test says nothing of it"
    done: set[tuple[str, str]] = set()
    for original, kind in kinds.items():
        if (kind, original.name if "/cache/" in str(original) else original.suffix) in done:
            continue  # of many alike, one
        done.add((kind, original.name if "/cache/" in str(original) else original.suffix))
        output = tmp_path / "output"
        shutil.copytree(whole, output)
        path = output / original.relative_to(whole)
        os.truncate(path, int(keep * path.stat().st_size))
        read = KINDS[kind]
        if read is shown:
            status.show_status(output, None)
            said = "".join(capsys.readouterr()).replace("\n", "")
            if kind == "logs/*/*/outcome.json":
                assert [bool(outcome.error) for outcome in sweep.read(path.parents[1])] == [True]
            if not keep or kind not in ("runs/*/history.csv", "logs/*/multirun.yaml"):  # half may say enough
                assert "is damaged" in said, f"{path} is not named by job=status"
            assert kind == "logs/*/multirun.yaml" or "pretext=random" in said
            assert "2 done" in said or "1 done, 1 damaged" in said, "a damaged file hides other runs"
        elif read is features_of:
            features_of(path)
        else:
            with pytest.raises(ValueError, match=rf"{path}.*delete"):
                read(path)
        status.show_status(output, None)
        assert len(recorded(output / "records").notes) == (kind == "records/*.json")
        capsys.readouterr()
        shutil.rmtree(output)
    assert len(done) > 25


def test_a_damaged_record_is_noted_in_every_form_of_the_table(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "output")
    folder = tmp_path / "output" / "records"

    def random(record: Record) -> bool:
        return record.subject.pretext == "random"

    name = next(r for r in read_all(folder) if random(r)).evaluation.digest
    os.truncate(folder / f"{name}.json", 100)
    monkeypatch.setattr(sys, "argv", ["run.py", "job=leaderboard", f"output={folder.parent}", "logger=none"])
    assert dispatch.main() == 0
    said = capsys.readouterr().out
    assert said.count(f"left out: {folder}/{name}.json, line 2: not JSON") == 1
    table = said[said.index("Scores in %") :]
    assert "supervised" in table
    assert f"{name}.json" in table.replace("\n", "")
    board = max((folder.parent / "boards").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for file in ("leaderboard.md", "leaderboard.txt", "leaderboard.tex"):
        assert name in (board / file).read_text().replace("\n", ""), file


def test_a_changed_pack_ends_a_job_with_its_name(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the byte that no sample sees, where `verify=true` asks for it or a record is to be made of it."""
    shutil.copytree(whole, tmp_path / "output")
    pixels = next((tmp_path / "output" / "cache" / "data").glob("scenes-test-*/pixels.npy"))
    line = ["run.py", "job=benchmark", *LINE[1:], *TINY, f"output={tmp_path / 'output'}"]
    monkeypatch.setattr("pretext.data.seal.SAMPLE", 2)
    monkeypatch.setattr("pretext.data.seal.BLOCK", 2**12)
    for path in (tmp_path / "output" / "cache" / "data").rglob("seals.json"):
        path.unlink()
    monkeypatch.setattr(sys, "argv", line)
    assert dispatch.main() == 0  # sealed again, by small blocks
    before = pixels.stat()
    with pixels.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)[0]
        file.seek(before.st_size // 2)
        file.write(bytes([byte ^ 255]))
    os.utime(pixels, ns=(before.st_atime_ns, before.st_mtime_ns))
    capsys.readouterr()
    assert dispatch.main() == 0, "everything is stored: the images are not looked at"
    for more in (["verify=true"], ["downstream.knn.ks=[3]"]):
        monkeypatch.setattr(sys, "argv", [*line, *more])
        capsys.readouterr()
        assert dispatch.main() == 1
        said = capsys.readouterr().err.replace("\n", " ")
        assert "DamagedCache: " in said
        assert f"{pixels}" in said
        assert f"delete {pixels.parent} and start again" in said
