"""Records: whole or not at all, strict on load, safe among processes."""

import copy
import dataclasses
import gzip
import hashlib
import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import record

from downstream.digest import canonical, digest, settings, source_digest
from downstream.judge import record_files
from downstream.judge.plain import to_plain
from downstream.judge.record_files import pack_rows, read_all, write
from downstream.judge.records import RecordError
from pretext.atomic import write_bytes

ROWS = {"scores": np.arange(6, dtype=np.float32).reshape(3, 2), "target": np.array([0, 1, 1])}


def packed(rows: dict[str, np.ndarray] = ROWS) -> tuple[str, bytes]:
    content = pack_rows(rows)
    return hashlib.sha256(content).hexdigest(), content


def saved(folder: Path, evaluation: str = "e0") -> Path:
    name, content = packed()
    return write(
        folder, [record(evaluation, name), record(evaluation, name, selected=False)], {name: content}
    )


def test_a_record_comes_back_equal_with_its_rows(tmp_path: Path) -> None:
    saved(tmp_path)
    name, _ = packed()
    first, second = read_all(tmp_path)
    assert first == record("e0", name)
    assert second == record("e0", name, selected=False)
    rows = record_files.read_rows(tmp_path, first)
    assert set(rows) == set(ROWS)
    for key, values in ROWS.items():
        np.testing.assert_array_equal(rows[key], values)
        assert rows[key].dtype == values.dtype


def test_json_lines_come_back_equal(tmp_path: Path) -> None:
    saved(tmp_path)
    record_files.export_jsonl(read_all(tmp_path), tmp_path / "all.jsonl")
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 2
    assert record_files.import_jsonl(tmp_path / "all.jsonl") == read_all(tmp_path)
    record_files.export_jsonl(read_all(tmp_path), tmp_path / "all.jsonl.gz")
    packed = (tmp_path / "all.jsonl.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "all.jsonl").read_bytes()
    assert record_files.import_jsonl(tmp_path / "all.jsonl.gz") == read_all(tmp_path)
    for broken, said in ((packed[:-20], "cut short"), (b"not compressed", "no gzip")):
        (tmp_path / "broken.jsonl.gz").write_bytes(broken)
        with pytest.raises(RecordError, match=rf"broken\.jsonl\.gz: {said}"):
            record_files.import_jsonl(tmp_path / "broken.jsonl.gz")


def test_packing_is_deterministic_and_refuses_objects() -> None:
    assert packed()[0] == packed(dict(reversed(ROWS.items())))[0]
    with pytest.raises(RecordError, match=r"bad.* holds Python objects"):
        pack_rows({"bad": np.array([{}], dtype=object)})


EDITS: dict[str, tuple[Any, str]] = {
    "missing": (lambda r: r["result"].pop("value"), "result: missing field value"),
    "unknown": (lambda r: r["cost"].update(euros=3), "cost: unknown field euros; known: seconds, device"),
    "type": (lambda r: r["subject"].update(seed="0"), "subject.seed: expected int, got str '0'"),
    "bool for int": (lambda r: r["subject"].update(seed=True), "subject.seed: expected int, got bool True"),
    "not finite": (
        lambda r: r["result"].update(value=float("nan")),
        "result.value: expected a finite number",
    ),
    "list length": (
        lambda r: r["data"].update(resolution=[64]),
        r"data.resolution: expected array of length 2, got list \[64\]",
    ),
    "inside a list": (lambda r: r["result"].update(flags=["a", 1]), r"result.flags\[1\]: expected str"),
    "inside a dict": (lambda r: r["data"]["counts"].update(val=1.5), "data.counts.val: expected int"),
    "union": (
        lambda r: r["result"]["setting"].update(lr=None),
        "result.setting.lr: expected int or float or str, got NoneType None",
    ),
    "direction": (
        lambda r: r["result"].update(direction="higher\n"),
        r"result.direction: expected str matching regex .*higher.lower.*, got str 'higher\\n'",
    ),
    "free": (
        lambda r: r["provenance"]["config"].update(x=float("inf")),
        "provenance.config.x: expected a finite",
    ),
    "schema": (lambda r: r.update(schema=99), "schema: this version reads 1 and 2, the file has 99"),
}


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_a_corrupt_record_is_an_error_that_names_file_and_field(edit: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    entries = json.loads(path.read_text())
    change, message = EDITS[edit]
    change(entries[1])
    path.write_text(json.dumps(entries))
    with pytest.raises(RecordError, match=f"e0.json, line 1: .*{message}"):
        read_all(tmp_path)


ODD: list[Any] = [None, [], {}, 1, 1.5, "x", True, float("nan"), 2**70, "\ud800"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def put(entry: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The same entry with another value at a path."""
    if not path:
        return value
    changed = copy.copy(entry)
    changed[path[0]] = put(entry[path[0]], path[1:], value)
    return changed


def test_whatever_stands_in_a_place_is_read_as_it_is_or_refused_by_its_name(tmp_path: Path) -> None:
    whole, path = to_plain(record()), tmp_path / "e0.json"
    refused = 0
    for place in places(whole):
        for value in ODD if place != ("schema",) else ODD[4:]:  # 1 is a schema
            entry = put(whole, place, value)
            path.write_text(json.dumps([entry]))
            try:
                (found,) = read_all(tmp_path)
            except RecordError as error:
                refused += 1
                told = str(error)
                assert told.startswith((f"{path}: ", f"{path}, line 1: ")), told
                assert not place or str(place[-1]) in told, told
            else:
                assert to_plain(found) == entry
                assert (type(found.subject.seed), type(found.result.value)) == (int, float)
    assert refused > 400


HOSTILE = {
    "nested": b"[" * 100_000,
    "nested in a record": b'[{"schema": 2, "subject": ' + b'{"a":' * 100_000,
    "digits": b'[{"schema": ' + b"9" * 5000 + b"}]",
    "no record": b"[1]",
    "schema true": b'[{"schema": true}]',
    "schema list": b'[{"schema": [2]}]',
    "another encoding": '[{"schema": 2}]'.encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf[]",
    "infinity": b'[{"schema": 1e999}]',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_bytes_that_are_no_records_are_an_error_of_their_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    listed: list[RecordError] = []
    assert read_all(tmp_path, listed.append) == []
    assert [str(error).partition(": ")[0].removesuffix(", line 1") for error in listed] == [
        str(tmp_path / name) for name in ("bad.json", "folder.json")
    ]


def test_a_value_out_of_its_range_is_no_score(tmp_path: Path) -> None:
    path = saved(tmp_path)
    entries = json.loads(path.read_text())
    entries[0]["result"]["value"] = 1.7
    path.write_text(json.dumps(entries))
    with pytest.raises(
        RecordError, match=r"e0.json, line 1: result.value 1.7 of 'mAP' is not in its range from 0.0 to 1.0"
    ):
        record_files.read(path)
    lines = tmp_path / "r.jsonl"
    lines.write_text("\n".join(json.dumps(entry) for entry in entries))
    with pytest.raises(RecordError, match=r"r.jsonl, line 1: result.value 1.7"):
        record_files.import_jsonl(lines)


def test_a_value_far_from_its_own_resamples_is_no_score(tmp_path: Path) -> None:
    path = saved(tmp_path)
    entries = json.loads(path.read_text())
    kept = [0.3 + 0.001 * place for place in range(100)]
    entries[0]["result"] |= {"value": 0.9999, "resampled": kept}
    path.write_text(json.dumps(entries))
    listed: list[RecordError] = []
    assert read_all(tmp_path, listed.append) == []
    (error,) = listed
    assert "line 1: result.value: 0.9999 lies far from its own resamples, 0.3 to 0.399" in str(error)
    assert "delete it to have it measured again" in str(error)


def test_a_key_too_many_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for place in ("subject", "evaluation", "data", "result", "cost", "provenance", "cost.pretraining", ""):
        entries = json.loads(path.read_text())
        of = entries[1]
        for name in filter(None, place.split(".")):
            of = of[name]
        of["euros"] = 3
        (tmp_path / "other.json").write_text(json.dumps(entries))
        with pytest.raises(
            RecordError, match=rf"other\.json, line 1: {place}:? ?unknown field euros; known: "
        ):
            record_files.read(tmp_path / "other.json")
    of["schema"] = 1
    del of["euros"]
    (tmp_path / "other.json").write_text(json.dumps(entries))
    assert (
        record_files.read(tmp_path / "other.json")[1].evaluation.suite == ""
    )  # of another schema, in one file


def test_what_records_have_alike_is_read_once_and_what_differs_is_not(tmp_path: Path) -> None:
    saved(tmp_path), saved(tmp_path, "e1")
    first, second, third, _ = read_all(tmp_path)
    assert first.provenance is second.provenance is third.provenance
    assert first.evaluation.options is third.evaluation.options
    assert (first.evaluation.digest, third.evaluation.digest) == ("e0", "e1")
    assert (first.result.selected, second.result.selected) == (True, False)


@pytest.mark.parametrize("content", [b"", b"[{", b"\xff\xfe", b"[]", b"{}"])
def test_a_file_that_is_no_record_can_be_listed_instead(content: bytes, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"bad\.json"):
        read_all(tmp_path)
    listed: list[RecordError] = []
    assert len(read_all(tmp_path, listed.append)) == 2
    assert len(listed) == 1


def test_writing_refuses_what_reading_would_refuse(tmp_path: Path) -> None:
    name, content = packed()
    with pytest.raises(RecordError, match=r"result\.value: expected a finite number, got nan"):
        write(tmp_path, [record(rows=name, value=float("nan"))], {name: content})
    with pytest.raises(RecordError, match="not among the rows"):
        write(tmp_path, [record(rows="0" * 64)], {name: content})
    with pytest.raises(RecordError, match="another SHA-256"):
        write(tmp_path, [record(rows="0" * 64)], {"0" * 64: content})
    with pytest.raises(RecordError, match="one evaluation, got 2"):
        write(tmp_path, [record("a", name), record("b", name)], {name: content})
    assert list(tmp_path.rglob("*.json")) == []


def test_rows_that_were_changed_are_noticed(tmp_path: Path) -> None:
    saved(tmp_path)
    first = read_all(tmp_path)[0]
    path = record_files.rows_path(tmp_path, first.result.rows)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RecordError, match="was changed"):
        record_files.read_rows(tmp_path, first)
    path.unlink()
    with pytest.raises(RecordError, match="are not there"):
        record_files.read_rows(tmp_path, first)


def test_what_a_killed_writer_leaves_is_ignored(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / ".e1.json.abc.tmp").write_text("[{")
    assert len(read_all(tmp_path)) == 2


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pretext.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def _write_many(folder: Path, process: int) -> None:
    for number in range(50):
        saved(folder, f"p{process}n{number}")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_four_processes_lose_no_record(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # nothing to import again
    workers = [context.Process(target=_write_many, args=(tmp_path, p)) for p in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    expected = {f"p{p}n{n}" for p in range(4) for n in range(50)}
    assert {r.evaluation.digest for r in read_all(tmp_path)} == expected
    assert [p for p in tmp_path.rglob("*") if p.suffix == ".tmp"] == []


def test_canonical_json_is_what_sha256_is_taken_of() -> None:
    assert canonical({"b": (1, 2.5), "a": {"é": None}}) == '{"a":{"\\u00e9":null},"b":[1,2.5]}'
    # printf '{"a":0.1,"b":1}' | sha256sum
    expected = "158d35d8b578c605994d4b0984021488d8b22b831c36244c0097500a4d6f839b"
    assert digest({"b": 1, "a": 0.1}) == expected


def test_a_digest_refuses_what_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"a": float("nan")})
    with pytest.raises(TypeError, match="key 1 at"):
        digest({"a": [{1: 2}]})
    with pytest.raises(TypeError):
        digest({"a": {1, 2}})


@dataclasses.dataclass(frozen=True)
class Inner:
    rates: tuple[float, ...] = (0.1, 1.0)


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    where: Path = Path("a/b")
    odd: Any = None


def test_settings_name_every_field() -> None:
    assert settings(Outer()) == {
        "class": "Outer", "inner": {"class": "Inner", "rates": [0.1, 1.0]}, "where": "a/b", "odd": None,
    }  # fmt: skip
    with pytest.raises(TypeError, match=r"Outer\.odd is a object"):
        settings(Outer(odd=object()))


def test_the_source_digest_sees_code_and_leaves_out_what_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "page" / "b.py").write_text("y = 1")
    before = source_digest(tmp_path, ["page"])
    (tmp_path / "page" / "b.py").write_text("y = 2")
    assert source_digest(tmp_path, ["page"]) == before
    assert source_digest(tmp_path) != before
    (tmp_path / "a.py").write_text("x = 2")
    assert source_digest(tmp_path, ["page"]) != before
