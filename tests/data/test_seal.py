"""A cached file that was changed is not used unnoticed, and each check sees what it promises."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pretext.data import pack, seal
from pretext.data.dataset import DataSet
from pretext.data.embedded import scenes
from pretext.data.pack import packed
from pretext.data.pixels import check_unchanged
from pretext.data.seal import DamagedCache, compared_whole

BLOCK, SAMPLE = 64, 4


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and samples so small that a test's pack is more than its sample."""
    monkeypatch.setattr(seal, "BLOCK", BLOCK)
    monkeypatch.setattr(seal, "SAMPLE", SAMPLE)


def write_rows(folder: Path) -> None:
    np.save(folder / "rows.npy", np.arange(1000, dtype=np.int64))  # 8,128 bytes: 127 blocks
    (folder / "about.json").write_text("[]")


def made(cache: Path) -> Path:
    return packed(cache, "rows", {}, write_rows)


def overwrite(path: Path, start: int, content: bytes, keep_time: bool) -> None:
    """Change bytes in place, as a stray write does; a failing disk does it without a new time."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)
    shift = 0 if keep_time else 10**9
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + shift))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("start", [0, 4000, 8127])
def test_one_byte_is_seen_by_the_time_and_without_it_by_the_whole(tmp_path: Path, start: int) -> None:
    path = made(tmp_path) / "rows.npy"
    assert made(tmp_path) == path.parent
    old = path.read_bytes()[start : start + 1]
    overwrite(path, start, bytes([old[0] ^ 1]), keep_time=True)
    if start == 4000:  # outside the sample
        assert made(tmp_path) == path.parent
    with (
        compared_whole(),
        pytest.raises(DamagedCache, match=rf"rows\.npy is damaged .* byte {start // 64 * 64}\)"),
    ):
        made(tmp_path)
    overwrite(path, start, bytes([old[0] ^ 1]), keep_time=False)
    with pytest.raises(DamagedCache, match=rf"{path} is damaged .*: delete {path.parent} and start again"):
        made(tmp_path)


@pytest.mark.usefixtures("small_blocks")
def test_a_run_of_zeros_is_seen_by_the_sample_alone(tmp_path: Path) -> None:
    path = made(tmp_path) / "rows.npy"
    overwrite(path, 2500, bytes(8127 // (SAMPLE - 1)), keep_time=True)
    with pytest.raises(DamagedCache, match=r"was changed after it was written"):
        made(tmp_path)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("name", ["rows.npy", "about.json", "identity.json", "seals.json"])
def test_what_is_cut_short_is_named(tmp_path: Path, name: str, keep: float) -> None:
    path = made(tmp_path) / name
    os.truncate(path, max(0, int(keep * path.stat().st_size) - 1))
    with pytest.raises(DamagedCache, match=rf"{path} is damaged .*: delete {path.parent}"):
        made(tmp_path)
    shutil.rmtree(path.parent)
    assert made(tmp_path) == path.parent


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (made(tmp_path) / "rows.npy").unlink()
    with pytest.raises(DamagedCache, match=r"rows\.npy is damaged \(is missing\)"):
        made(tmp_path)


@pytest.mark.usefixtures("small_blocks")
def test_a_copied_pack_is_compared_whole_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    compared: list[int] = []
    digests = seal._digests

    def counting(path: Path, blocks: range) -> object:
        compared.append(len(blocks))
        return digests(path, blocks)

    monkeypatch.setattr(seal, "_digests", counting)
    made(tmp_path / "b")
    assert max(compared) == 127
    compared.clear()
    made(tmp_path / "b")
    assert max(compared) == SAMPLE


def without_seals(folder: Path) -> None:
    (folder / pack.SEALS).unlink()


def tiny(cache: Path) -> DataSet:
    return scenes(str(cache), train=12, val=4, test=4, size=16, workers=1)


def digests(data: DataSet) -> dict[str, str]:
    return {name: split.digest for name, split in data.splits.items()}


def test_a_pack_from_before_seals_is_held_to_its_digests_and_used(tmp_path: Path) -> None:
    before = digests(tiny(tmp_path))
    for folder in tmp_path.glob("scenes-*"):
        without_seals(folder)
    assert digests(tiny(tmp_path)) == before
    train = next(tmp_path.glob("scenes-train-*"))
    assert json.loads((train / pack.SEALS).read_text()).keys() == {
        path.name for path in train.iterdir() if path.name != pack.SEALS
    }
    without_seals(train)
    overwrite(train / "pixels.npy", 128 + 5 * 16 * 16 * 3 + 7, b"x", keep_time=True)
    with pytest.raises(DamagedCache, match=r"pixels\.npy is damaged \(image 5 is not the one"):
        tiny(tmp_path)
    assert not (train / pack.SEALS).exists()


@pytest.mark.parametrize("name", ["pixels.npy", "masks.npy", "labels.npy", "xyxy.npy", "digests.npy"])
def test_every_array_of_a_split_is_compared(tmp_path: Path, name: str) -> None:
    tiny(tmp_path)
    path = next(tmp_path.glob("scenes-test-*")) / name
    overwrite(path, path.stat().st_size - 1, b"\x2a", keep_time=False)
    with pytest.raises(DamagedCache, match=name):
        tiny(tmp_path)


def test_images_changed_while_they_are_mapped_are_seen_once_it_counts(tmp_path: Path) -> None:
    data = tiny(tmp_path)
    check_unchanged(data.val.pixels)
    path = next(tmp_path.glob("scenes-test-*")) / "pixels.npy"
    overwrite(path, path.stat().st_size - 1, b"\x2a", keep_time=True)
    with pytest.raises(DamagedCache, match=rf"image 3 is not the one .* {path}: delete {path.parent}"):
        check_unchanged(data.test.pixels)
    check_unchanged(np.zeros((1, 2, 2, 3), np.uint8))  # knows no digests
