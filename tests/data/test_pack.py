"""Packs appear whole or not at all, are made once, and outlive a killed process."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pretext.data.pack import ArrayWriter, DamagedCache, digest_of, mapped, packed, require_space

# The children touch NumPy and files only; Python 3.12 warns of any fork beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


def write_rows(folder: Path) -> None:
    with ArrayWriter(folder / "rows.npy", (2,), np.int16) as writer:
        for i in range(5):
            writer.append(np.array([[i, -i]], np.int16))


def test_rows_come_back_mapped_read_only_and_plain_numpy_reads_them(tmp_path: Path) -> None:
    rows = mapped(packed(tmp_path, "rows", {"of": 1}, write_rows))["rows"]
    np.testing.assert_array_equal(rows, [[i, -i] for i in range(5)])
    assert isinstance(rows, np.memmap)
    assert not rows.flags.writeable
    assert rows.dtype == np.int16


def test_many_rows_and_no_rows_fit_the_header(tmp_path: Path) -> None:
    for count in (0, 123_456):
        with ArrayWriter(tmp_path / "a.npy", (), np.bool_) as writer:
            writer.append(np.ones(count, np.bool_))
        assert np.load(tmp_path / "a.npy", allow_pickle=False).shape == (count,)


def test_rows_of_another_form_are_refused(tmp_path: Path) -> None:
    with ArrayWriter(tmp_path / "a.npy", (2,), np.int16) as writer:
        for wrong in (np.zeros((1, 3), np.int16), np.zeros((1, 2), np.int32)):
            with pytest.raises(ValueError, match="expected rows"):
                writer.append(wrong)


def test_a_pack_is_made_once_for_an_identity(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        write_rows(folder)

    first = packed(tmp_path, "rows", {"a": 1, "b": [2]}, build)
    assert packed(tmp_path, "rows", {"b": [2], "a": 1}, build) == first
    assert packed(tmp_path, "rows", {"a": 1, "b": [3]}, build) != first
    assert len(built) == 2
    assert first.name == f"rows-{digest_of({'a': 1, 'b': [2]})[:16]}"
    assert first.stat().st_mode & 0o777 == 0o755


def test_a_build_that_fails_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write_rows(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(tmp_path, "rows", {}, fail)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []
    assert len(mapped(packed(tmp_path, "rows", {}, write_rows))["rows"]) == 5


def hang_half_way(cache: Path) -> None:
    def build(folder: Path) -> None:
        with ArrayWriter(folder / "rows.npy", (2,), np.int16) as writer:
            writer.append(np.zeros((3, 2), np.int16))
            (cache / "half").touch()
            time.sleep(60)

    packed(cache, "rows", {}, build)


def test_a_killed_process_leaves_no_half_cache(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=hang_half_way, args=(tmp_path,))
    process.start()
    while not (tmp_path / "half").exists():
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = [p.name for p in tmp_path.iterdir() if p.is_dir()]
    assert len(left) == 1
    assert ".part-" in left[0]
    folder = packed(tmp_path, "rows", {}, write_rows)
    assert len(mapped(folder)["rows"]) == 5
    assert [p for p in tmp_path.iterdir() if p.is_dir()] == [folder]


def build_slowly(cache: Path, log: Path) -> None:
    def build(folder: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.3)
        write_rows(folder)

    assert len(mapped(packed(cache, "rows", {}, build))["rows"]) == 5


def test_of_two_processes_at_once_one_builds_and_both_have_the_result(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=build_slowly, args=(tmp_path, tmp_path / "log")) for _ in range(3)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_process_that_was_first_without_a_lock_wins(tmp_path: Path) -> None:
    def overtaken(folder: Path) -> None:
        write_rows(folder)
        winner = tmp_path / f"rows-{digest_of({})[:16]}"
        winner.mkdir()
        np.save(winner / "rows.npy", np.zeros(1))

    assert mapped(packed(tmp_path, "rows", {}, overtaken))["rows"].shape == (1,)
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1


def test_damage_is_named(tmp_path: Path) -> None:
    folder = packed(tmp_path, "rows", {}, write_rows)
    data = (folder / "rows.npy").read_bytes()
    for broken in (data[:-4], data[:50], b""):
        (folder / "rows.npy").write_bytes(broken)
        with pytest.raises(DamagedCache, match=r"rows\.npy is damaged .*: delete"):
            mapped(folder)
    (folder / "rows.npy").unlink()
    with pytest.raises(DamagedCache, match="holds no arrays"):
        mapped(folder)


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DamagedCache, match=r"a\.npy"):
        mapped(tmp_path)


def test_a_full_disk_is_foreseen(tmp_path: Path) -> None:
    require_space(tmp_path, 1, "one byte")
    with pytest.raises(OSError, match=r"packing 9 images takes 1,000,000,000\.0 GB, .* free"):
        require_space(tmp_path, 10**18, "9 images")
