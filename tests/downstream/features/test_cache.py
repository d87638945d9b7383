"""The cache of arrays: whole or absent, within its limit, safe beside other processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from downstream.features.cache import ArrayCache, Stored, Wanted

FLOATS = 250  # two arrays of 1000 bytes, two headers of 128 and an index of 210: an entry is about 2.5 kB
ENTRY = 2500


def write(cache: ArrayCache, name: str, value: float = 1.0, floats: int = FLOATS) -> tuple[Stored, ...]:
    with cache.writing(name) as draft:
        shape, kind = (floats,), np.dtype(np.float32)
        a, b = draft.create([Wanted({"what": "a"}, shape, kind), Wanted({"what": "b"}, shape, kind)])
        a[:], b[:] = value, -value
    return draft.stored


def names(cache: ArrayCache) -> list[str]:
    return sorted(path.name for path in cache.root.iterdir())


def first(stored: tuple[Stored, ...] | None) -> NDArray[np.float32]:
    assert stored is not None
    return stored[0].values


def size(cache: ArrayCache) -> int:
    return sum(path.stat().st_size for path in cache.root.rglob("*") if path.is_file())


def test_an_entry_is_read_as_it_was_written(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path / "cache")
    assert cache.read("x") is None
    assert not cache.root.exists()
    made = write(cache, "x", 3.0)
    for stored in (made, cache.read("x")):
        assert stored is not None
        assert [label for label, _ in stored] == [{"what": "a"}, {"what": "b"}]
        for sign, (_, values) in zip((1, -1), stored, strict=True):
            assert isinstance(values, np.memmap)
            assert not values.flags.writeable
            np.testing.assert_array_equal(values, np.full(FLOATS, 3.0 * sign, dtype=np.float32))
    assert names(cache) == ["x"]
    assert 2000 < size(cache) < ENTRY


def test_shapes_and_types_of_all_kinds(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    kinds = [((3, 2, 5, 4), np.float16), ((7,), np.int64), ((1, 1), np.bool_)]
    truth: list[NDArray[Any]] = [
        np.random.default_rng(0).integers(0, 2, shape).astype(kind) for shape, kind in kinds
    ]
    with cache.writing("x") as draft:
        made = draft.create([Wanted({}, t.shape, t.dtype) for t in truth])
        for array, values in zip(made, truth, strict=True):
            array[...] = values
    for (_, found), values in zip(draft.stored, truth, strict=True):
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=3 * ENTRY)
    for name in ("a", "b", "c"):
        write(cache, name)
    assert names(cache) == ["a", "b", "c"]
    assert cache.read("a") is not None  # used again: b is now the oldest
    write(cache, "d")
    assert names(cache) == ["a", "c", "d"]
    write(cache, "e", floats=2 * FLOATS)  # takes the room of two
    assert names(cache) == ["d", "e"]
    assert cache.read("b") is None


def test_the_limit_holds_at_every_moment(tmp_path: Path) -> None:
    limit = 4 * ENTRY
    cache = ArrayCache(tmp_path, limit)
    generator = np.random.default_rng(0)
    sizes = []
    for name in range(30):
        with cache.writing(str(name)) as draft:
            wanted = Wanted({}, (int(generator.integers(1, 800)),), np.dtype(np.float32))
            (array,) = draft.create([wanted])
            array[:] = name
            sizes.append(size(cache))
            del array
        del draft
    assert max(sizes) <= limit
    assert max(sizes) > limit / 2, "the cache hardly held anything: the test says nothing"
    newest = cache.read("29")
    assert first(newest)[0] == 29


def test_without_a_limit_nothing_goes(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    for name in "abcdef":
        write(cache, name)
    assert names(cache) == list("abcdef")
    with pytest.raises(ValueError, match="cannot be limited to -1 bytes"):
        ArrayCache(tmp_path, limit=-1)


def test_what_is_used_stays_even_beyond_the_limit(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=0)
    kept = write(cache, "just written")
    assert names(cache) == ["just written"]
    view = first(kept)[10:20]  # a part of one of its two maps is enough
    del kept
    other = write(cache, "other")
    assert names(cache) == ["just written", "other"]
    assert view.tolist() == [1.0] * 10
    del view, other
    write(cache, "third")
    assert names(cache) == ["third"]


def test_an_entry_larger_than_the_limit_is_there_for_who_wrote_it(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=ENTRY)
    write(cache, "small")
    large = write(cache, "large", floats=5000)
    assert names(cache) == ["large"]
    assert first(large).sum() == 5000


def test_a_map_outlives_the_removal_of_its_entry(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    kept = write(cache, "x", 7.0)
    shutil.rmtree(tmp_path / "x")  # by hand: the cache itself would not
    assert cache.read("x") is None
    assert first(kept).tolist() == [7.0] * FLOATS
    assert first(write(cache, "x", 8.0))[0] == 8.0
    assert first(kept)[0] == 7.0


READER = """
import sys
from pathlib import Path
from downstream.features.cache import ArrayCache
stored = ArrayCache(Path(sys.argv[1])).read("x")
print("open", flush=True)
sys.stdin.readline()
print(float(stored[0].values.sum()), flush=True)
"""


def test_what_another_process_uses_stays(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=0)
    write(cache, "x", 2.0)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        write(cache, "y")
        assert names(cache) == ["x", "y"]
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert float(reader.stdout.readline()) == 2.0 * FLOATS
    assert reader.returncode == 0
    write(cache, "z")  # the lock went with its process
    assert names(cache) == ["z"]


def test_of_two_writers_of_one_entry_the_first_stays(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    with cache.writing("x") as late:
        (array,) = late.create([Wanted({"what": "late"}, (4,), np.dtype(np.float32))])
        array[:] = 5.0
        write(cache, "x", 5.0)
    assert names(cache) == ["x"]
    assert first(late.stored).tolist() == [5.0] * 4
    assert first(cache.read("x")).shape == (FLOATS,)


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)

    def fail() -> None:
        with cache.writing("x") as draft:
            draft.create([Wanted({}, (4,), np.dtype(np.float32))])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(cache) == []


HAMMER = """
import sys
from pathlib import Path
import numpy as np
from downstream.features.cache import ArrayCache, Wanted
cache = ArrayCache(Path(sys.argv[1]), int(sys.argv[2]))
generator = np.random.default_rng(int(sys.argv[3]))
written = 0
for _ in range(150):
    value = int(generator.integers(8))
    stored = cache.read(str(value))
    if stored is None:
        written += 1
        with cache.writing(str(value)) as draft:
            wanted = [Wanted({"n": str(i)}, (250,), np.dtype(np.float32)) for i in range(2)]
            for array in draft.create(wanted):
                array[:] = value
        stored = draft.stored
    for _, values in stored:
        assert values.shape == (250,) and (values == value).all(), value
print(written)
"""


def test_many_processes_at_once_read_only_what_is_right(tmp_path: Path) -> None:
    """Eight entries, room for three, three processes: everybody evicts what the others are about to open."""
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(tmp_path), str(3 * ENTRY), str(seed)],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    for job in jobs:
        out, err = job.communicate()
        assert job.returncode == 0, err
        assert int(out) > 30, "hardly anything was evicted: the test says nothing"
    cache = ArrayCache(tmp_path, 3 * ENTRY)
    write(cache, "last")
    assert not [name for name in names(cache) if name.startswith(".")]
    assert size(cache) <= 3 * ENTRY


def damage(path: Path, content: Callable[[bytes], bytes], later: bool) -> None:
    """Overwrite a file in place, as if its time had not changed or had."""
    time = path.stat().st_mtime_ns + 10**9 * later
    path.write_bytes(content(path.read_bytes()))
    os.utime(path, ns=(time, time))


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        lambda old: b"",
        lambda old: old[: len(old) // 2],
        lambda old: old[:-1] + b"x",
        lambda old: old[:300] + bytes(828),
    ],
)
@pytest.mark.parametrize("file", ["000.npy", "001.npy", "features.json"])
def test_a_damaged_entry_is_made_anew(
    tmp_path: Path, file: str, content: Callable[[bytes], bytes], later: bool
) -> None:
    cache = ArrayCache(tmp_path)
    write(cache, "x")
    kept = write(cache, "y")
    damage(tmp_path / "x" / file, content, later)
    assert cache.read("x") is None
    assert names(cache) == ["y"], "the damaged entry was kept"
    write(cache, "x", 2.0)
    assert first(cache.read("x"))[0] == 2.0
    assert first(kept)[0] == 1.0


def test_an_entry_that_lost_a_file_is_made_anew(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    for file in ("001.npy", "features.json"):
        write(cache, "x")
        (tmp_path / "x" / file).unlink()
        assert cache.read("x") is None
        assert names(cache) == []
