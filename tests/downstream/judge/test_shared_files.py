"""Files that are given for records and hold none, or too much: each is refused in one sentence."""

from __future__ import annotations

import gzip
import json
import os
import resource
from pathlib import Path

import pytest
from gathered import collected, edited
from made_records import record

from downstream.judge.plain import to_plain
from downstream.judge.record_files import export_jsonl


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downstream.judge.record_bytes.LARGEST", 1000)
    (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(b" " * 100_000))
    assert collected(tmp_path / "bomb.jsonl.gz")[1] == [f"{tmp_path}/bomb.jsonl.gz: more than 1,000 bytes"]


def test_a_line_without_an_end_is_refused_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downstream.judge.record_bytes.LONGEST", 50_000)
    path = tmp_path / "long.jsonl"
    export_jsonl([record("a")], path)
    with path.open("ab") as file:
        file.truncate(2 * 2**30)  # a hole that takes no disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, faults = collected(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB
    assert faults == [f"{path}, line 2: a line of more than 50,000 bytes is no record"]
    assert found.found == []


LINE = (json.dumps(to_plain(record("größe"))) + "\n").encode()
PACKED = gzip.compress(LINE * 50)
ODD: dict[str, tuple[str, bytes, str]] = {
    "empty lines": ("a.jsonl", b"", ": an empty file holds no record"),
    "empty list": ("a.json", b"", ": an empty file holds no record"),
    "UTF-16": ("a.jsonl", LINE.decode().encode("utf-16"), ", line 1: not in UTF-8: it has bytes of zero"),
    "UTF-16 list": ("a.json", "[]".encode("utf-16"), ": not in UTF-8: it has bytes of zero, as UTF-16 has"),
    "Latin-1": ("a.jsonl", LINE + b'"gr\xf6\xdfe"\n' * 9, ", line 2: not in UTF-8: byte 0xf6 at 4"),
    "Latin-1 list": ("a.json", b'["gr\xf6\xdfe"]', ": not in UTF-8: byte 0xf6 at 5"),
    "cut gzip": ("a.jsonl.gz", PACKED[:-20], ": cut short: what is packed in it has no end"),
    "cut head": ("a.jsonl.gz", PACKED[:6], ": cut short: what is packed in it has no end"),
    "damaged gzip": ("a.jsonl.gz", PACKED[:60] + b"\xff" * 20 + PACKED[80:], ": no gzip, or a damaged one"),
    "no gzip": ("a.jsonl.gz", LINE, ": no gzip, or a damaged one"),
    "an object": ("a.json", b'{"a": 1}', ": a list of records was expected, got one object"),
    "a number": ("a.json", b"7", ": a list of records was expected, got 7"),
    "numbers": ("a.json", b"[\n1]", ", line 2: no record, but 1"),
    "a text": ("a.jsonl", b'"x"\n', ", line 1: no record, but a text"),
    "a list": ("a.jsonl", b"[]\n", ", line 1: no record, but a list"),
    "nothing": ("a.jsonl", b"null\n", ", line 1: no record, but None"),
    "cut list": ("a.json", b"[\n{},\n{", ", line 3: not JSON: Expecting property name"),
    "cut line": ("a.jsonl", LINE[:200], ", line 1: not JSON: "),
    "nested": ("a.jsonl", b"[" * 100_000, ", line 1: nested too deeply for a record"),
    "nested list": ("a.json", b"[" * 100_000, ": nested too deeply for a record"),
    "digits": ("a.jsonl", b"9" * 5000 + b"\n", ", line 1: not JSON: a number without an end"),
}


@pytest.mark.parametrize("what", ODD)
def test_a_file_that_holds_no_records_is_one_sentence(what: str, tmp_path: Path) -> None:
    name, content, said = ODD[what]
    (tmp_path / name).write_bytes(content)
    found, faults = collected(tmp_path / name)
    assert found.found == []
    assert len(faults) == 1
    assert faults[0].startswith(f"{tmp_path / name}{said}"), faults
    assert faults[0].isprintable()
    assert len(faults[0]) < 300


def test_records_of_any_depth_are_read_or_said_to_be_too_deep(tmp_path: Path) -> None:
    entry = json.dumps(edited(provenance={"config": {"a": 0}}, cost={"euros": 3}))
    chosen = {"downstream": {"linear": {"_target_": "x", "a": {"a": 0}}}}
    older = json.dumps(edited(provenance={"config": chosen}) | {"schema": 1})
    path = tmp_path / "a.jsonl"
    path.write_text(older.replace('{"a": 0}', '{"a": ' * 600 + "0" + "}" * 600) + "\n")
    assert collected(path)[1] == [f"{path}, line 1: nested too deeply for a record"]
    said = set()
    for depth in (300, *range(700, 1000)):  # about Python's own limit, which parsing and checking share
        path.write_text(entry.replace('{"a": 0}', '{"a": ' * depth + "0" + "}" * depth) + "\n")
        (fault,) = collected(path)[1]
        said.add(fault.rpartition(": ")[2])
    assert said == {"nested too deeply for a record", "seconds, device, peak_memory_mib, images_per_second, "
                    "parameters, flops, pretraining"}  # fmt: skip


def test_a_pipe_in_the_place_of_records_is_waited_for_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").mkdir()
    assert collected(tmp_path)[1] == [
        f"{tmp_path}/a.json: no file, but a pipe or a device",
        f"{tmp_path}/b.json: no file, but a folder",
    ]
