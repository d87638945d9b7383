"""Records of several people: what is read, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gathered import collected, edited
from made_records import record

from downstream.judge.plain import to_plain
from downstream.judge.record_files import export_jsonl
from downstream.judge.records import Record
from downstream.judge.shared import Found, gather, portable, rows_at_hand


def lines(path: Path, *entries: Any) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def names(found: list[Found]) -> list[str]:
    return [one.record.evaluation.digest for one in found]


def test_every_form_of_a_place_is_read(tmp_path: Path) -> None:
    output, folder = tmp_path / "outputs", tmp_path / "folder"
    for place, digest in ((output / "records", "a"), (folder, "b")):
        place.mkdir(parents=True)
        (place / f"{digest}.json").write_text(json.dumps([to_plain(record(digest))]))
    export_jsonl([record("c")], tmp_path / "c.jsonl")
    export_jsonl([record("d"), record("e")], tmp_path / "d.jsonl.gz")
    single = folder / "b.json"
    found, faults = collected(output, folder, tmp_path / "c.jsonl", tmp_path / "d.jsonl.gz", single)
    assert faults == []
    assert names(found.found) == ["a", "b", "c", "d", "e"]
    assert found.repeated == 1  # the single file lies in the folder
    assert [one.where.rpartition("/")[2] for one in found.found] == [
        "a.json, line 1", "b.json, line 1", "c.jsonl, line 1", "d.jsonl.gz, line 1", "d.jsonl.gz, line 2",
    ]  # fmt: skip


def test_places_without_records_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "lines").mkdir()
    export_jsonl([record()], tmp_path / "lines" / "mine.jsonl.gz")
    (tmp_path / "table.csv").write_text("a,b\n")
    (tmp_path / "nothing.jsonl").write_text("")
    (tmp_path / "list.json").write_text("[]")
    places = ["nowhere", "empty", "lines", "table.csv", "nothing.jsonl", "list.json"]
    found, faults = collected(*(tmp_path / name for name in places))
    assert found.found == []
    assert [fault.removeprefix(f"{tmp_path}/") for fault in faults] == [
        "nowhere: there is no such folder or file of records",
        "empty: the folder holds no record",
        "lines: the folder holds no record; name the files themselves: mine.jsonl.gz",
        "table.csv: records lie in files of .jsonl, .jsonl.gz or .json",
        "nothing.jsonl: an empty file holds no record",
        "list.json: an empty list holds no record",
    ]


def test_every_faulty_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    broken = to_plain(record("b"))
    del broken["result"]["value"]
    entries = [to_plain(record("a")), broken, to_plain(record("c", value=0.25)), {"schema": 9}]
    path = lines(tmp_path / "all.jsonl", *entries)
    path.write_text(path.read_text() + "not json\n")
    found, faults = collected(path)
    assert names(found.found) == ["a", "c"]
    assert found.found[1].where == f"{path}, line 3"
    assert faults == [
        f"{path}, line 2: result: missing field value",
        f"{path}, line 4: schema: this version reads 1 and 2, the file has 9",
        f"{path}, line 5: not JSON: Expecting value (column 1)",
    ]


def test_empty_lines_are_none_and_are_counted(tmp_path: Path) -> None:
    path = lines(tmp_path / "all.jsonl", to_plain(record("a")))
    path.write_text("\n" + path.read_text() + "  \n" + path.read_text() * 2 + "not json\n\n")
    found, faults = collected(path)
    assert [one.where for one in found.found] == [f"{path}, line 2"]
    assert found.repeated == 2
    assert faults == [f"{path}, line 6: not JSON: Expecting value (column 1)"]


def test_a_file_of_a_list_names_the_line_that_an_entry_begins_on(tmp_path: Path) -> None:
    entries = [to_plain(record(digest)) for digest in "abc"]
    entries[2]["result"]["value"] = 7.5
    path = tmp_path / "e.json"
    for indent, line in ((None, 1), (1, 2 + 2 * len(json.dumps(entries[0], indent=1).splitlines()))):
        path.write_text(json.dumps(entries, indent=indent))
        _, faults = collected(path)
        assert faults == [
            f"{path}, line {line}: result.value 7.5 of 'mAP' is not in its range from 0.0 to 1.0"
        ]


BLIND = {"pretext": "blind:mine", "backbone": "", "input": "", "images_seen": 0}
EVALUATED = {"config": {"job": {"name": "evaluate"}}}
LONG = "x" * 10_000
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "missing field": (edited(), "subject: missing field seed"),
    "unknown field": (edited(cost={"euros": 3}), "cost: unknown field euros; known: seconds, device"),
    "out of range": (
        edited(result={"value": 7.5}),
        "result.value 7.5 of 'mAP' is not in its range from 0.0 to 1.0",
    ),
    "a range of its own": (
        edited(result={"value": 7.5, "range": [0, 10]}),
        "result.range: a fraction lies in [0, 1], its range is said to be [0.0, 10.0]",
    ),
    "chance out of range": (
        edited(result={"chance": 1.5}),
        "result.chance: 1.5 is not in its range from 0.0 to 1.0",
    ),
    "the score on val out of range": (
        edited(result={"val": 2.0}),
        "result.val: 2.0 is not in its range from 0.0 to 1.0",
    ),
    "the score on train out of range": (
        edited(result={"train": -0.1}),
        "result.train: -0.1 is not in its range from 0.0 to 1.0",
    ),
    "a resample out of range": (
        edited(result={"resampled": [0.5, None, -0.2]}),
        "result.resampled: -0.2 is not in its range from 0.0 to 1.0",
    ),
    "NaN": (edited(result={"value": float("nan")}), "result.value: expected a finite number, got nan"),
    "negative": (edited(subject={"seed": -1}), "subject.seed: expected int >= 0, got int -1"),
    "a split that was not counted": (
        edited(evaluation={"split": "holdout"}),
        "evaluation.split 'holdout' is not among data.digests: 'test'",
    ),
    "a twin's name": (
        edited(subject={"pretext": "random"}, provenance=EVALUATED),
        "subject.pretext: 'random' is reserved: random, supervised and blind:… are what other rows are read "
        "against, and this is an encoder of one's own (job=evaluate)",
    ),
    "the other twin's": (
        edited(subject={"pretext": "supervised"}, provenance=EVALUATED),
        "subject.pretext: 'supervised' is reserved",
    ),
    "a blind name": (
        edited(subject=BLIND, provenance=EVALUATED),
        "subject.pretext: 'blind:mine' is reserved",
    ),
    "a blind name with a network": (
        edited(subject={"pretext": "blind:mine"}),
        "subject.pretext: 'blind:mine' is reserved for predictors that look at no encoder, and this has one: "
        "backbone 'small', input 'rgb', 1000 images seen",
    ),
    "a terminal's commands": (
        edited(subject={"pretext": "mine\x1b[2J"}),
        "subject.pretext: a name is printed as it is, and this has signs that cannot be: 'mine\\x1b[2J'",
    ),
    "text that runs backwards": (
        edited(evaluation={"protocol": "linear\u202e"}),
        "evaluation.protocol: a name is printed as it is, and this has signs that cannot be: 'linear\\u202e'",
    ),
    "a line of its own": (
        edited(result={"flags": ["fine\n| best | 99.9 |"]}),
        "result.flags[0]: a name is printed as it is, and this has signs that cannot be",
    ),
    "a name without an end": (
        edited(evaluation={"protocol": LONG}),
        "evaluation.protocol: a name is printed as it is, in 1000 characters at most, and this has 10000: 'x",
    ),
    "a formula": (
        edited(subject={"pretext": "=1+1"}),
        "subject.pretext: spreadsheets compute what begins with one of = + - @, and this does: '=1+1'",
    ),
    "a key": (
        edited(result={"setting": {"lr\r": 1}}),
        "result.setting: a name is printed as it is, and this has signs that cannot be: 'lr\\r'",
    ),
}  # fmt: skip
del REFUSED["missing field"][0]["subject"]["seed"]


@pytest.mark.parametrize("what", REFUSED, ids=str)
def test_what_may_not_stand_in_a_shared_table_is_refused_by_file_line_and_name(
    what: str, tmp_path: Path
) -> None:
    entry, said = REFUSED[what]
    path = lines(tmp_path / "theirs.jsonl", to_plain(record("fine")), entry)
    found, faults = collected(path)
    assert names(found.found) == ["fine"]
    (fault,) = faults
    assert fault.startswith(f"{path}, line 2: {said}")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "\\input{x}", "[/bold]", "größe", "東京", "a|b"]
)
def test_markup_is_a_name_like_any_other(name: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", edited(subject={"pretext": name}))
    found, faults = collected(path)
    assert faults == []
    assert found.found[0].record.subject.pretext == name


def test_the_twins_own_records_keep_their_names(tmp_path: Path) -> None:
    own = {"config": {"job": {"name": "benchmark"}}}
    path = lines(
        tmp_path / "a.jsonl",
        edited(subject={"pretext": "random"}, provenance=own),
        edited(subject=BLIND, provenance={"config": {}}),
    )
    assert collected(path)[1] == []


def test_one_run_of_two_people_is_shown_once(tmp_path: Path) -> None:
    mine = [record("a"), record("b")]
    later = dataclasses.replace(record().provenance, utc="2026-05-01T00:00:00Z", commit="def")
    theirs = [dataclasses.replace(record("b"), provenance=later), record("c")]
    export_jsonl(mine, tmp_path / "mine.jsonl")
    export_jsonl(theirs, tmp_path / "theirs.jsonl")
    found, faults = collected(tmp_path / "mine.jsonl", tmp_path / "theirs.jsonl")
    assert (names(found.found), found.repeated, faults) == (["a", "b", "c"], 1, [])


def test_of_a_repeated_score_that_with_rows_is_kept(tmp_path: Path) -> None:
    for person in ("mine", "theirs"):
        (tmp_path / person).mkdir()
        export_jsonl([record("a", rows="1" * 64)], tmp_path / person / "a.jsonl")
    (tmp_path / "theirs" / "rows").mkdir()
    (tmp_path / "theirs" / "rows" / f"{'1' * 64}.npz").write_bytes(b"")
    found, _ = collected(tmp_path / "mine" / "a.jsonl", tmp_path / "theirs" / "a.jsonl")
    assert [one.path.parent.name for one in found.found] == ["theirs"]


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "value": ({"value": 0.75}, "result.value: 0.5 and 0.75"),
    "selected": ({"selected": False}, "result.selected: True and False"),
    "resampled": ({"resampled": (0.5, 0.75)}, "result.resampled: (0.5, 0.25) and (0.5, 0.75)"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_one_address_with_two_values_names_both_files(what: str, tmp_path: Path) -> None:
    fields, said = DIFFERENT[what]
    export_jsonl([record("x"), record("a")], tmp_path / "mine.jsonl")
    export_jsonl([record("a", **fields)], tmp_path / "theirs.jsonl.gz")
    _, faults = collected(tmp_path / "mine.jsonl", tmp_path / "theirs.jsonl.gz")
    assert faults == [
        f"{tmp_path}/mine.jsonl, line 2 and {tmp_path}/theirs.jsonl.gz, line 1: rotation seed 0, linear on "
        f"photos, mAP: one score with two {said}"
    ]


def test_other_stages_metrics_and_runs_are_other_scores(tmp_path: Path) -> None:
    made = [
        record("a"),
        record("a", stage="conv4"),
        record("a", metric="top1"),
        record("a", pretext="jigsaw"),
    ]
    export_jsonl(made, tmp_path / "a.jsonl")
    found, faults = collected(tmp_path / "a.jsonl")
    assert (len(found.found), faults) == (4, [])


def test_two_directions_of_one_metric_name_both_files(tmp_path: Path) -> None:
    export_jsonl([record("a")], tmp_path / "mine.jsonl")
    export_jsonl([record("b", direction="lower")], tmp_path / "theirs.jsonl")
    _, faults = collected(tmp_path / "mine.jsonl", tmp_path / "theirs.jsonl")
    assert faults == [
        f"{tmp_path}/mine.jsonl, line 1 and {tmp_path}/theirs.jsonl, line 1: linear v1 on photos has one "
        "scale for mAP; there it is fraction in [0, 1], higher is better, here fraction in [0, 1], lower is "
        "better"
    ]
    export_jsonl([record("b", direction="lower", version=2)], tmp_path / "theirs.jsonl")
    assert collected(tmp_path / "mine.jsonl", tmp_path / "theirs.jsonl")[1] == []


def test_a_portable_record_names_no_place_of_a_machine() -> None:
    config = {
        "output": "/home/me/x", "data": {"root": "/sets", "size": 64}, "target": None, "seed": 3,
        "encoder": "/home/me/x/runs/mine/",
    }  # fmt: skip
    made = portable(
        dataclasses.replace(record(), provenance=dataclasses.replace(record().provenance, config=config))
    )
    assert made.provenance.config == {
        "output": "outputs", "data": {"root": "data", "size": 64}, "target": None, "seed": 3,
        "encoder": "mine",
    }  # fmt: skip
    assert config["output"] == "/home/me/x"
    named = dataclasses.replace(made.provenance, config={"encoder": "timm:resnet50.a1_in1k"})
    assert portable(dataclasses.replace(made, provenance=named)).provenance == named


def test_folders_of_rows_are_listed_and_their_files_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_jsonl([record(str(i), rows=f"{i:064}") for i in range(50)], tmp_path / "a.jsonl")
    found = gather([tmp_path / "a.jsonl"], lambda _: None)
    asked: list[Path] = []
    plain: Callable[[Path], bool] = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: asked.append(path) or plain(path))
    monkeypatch.setattr(Path, "exists", lambda path: pytest.fail(f"{path} was asked for"))
    assert rows_at_hand(found) == frozenset()
    assert asked == [tmp_path / "rows"]


def test_records_are_typed(tmp_path: Path) -> None:
    """What is gathered is what was written, not a copy with other types."""
    export_jsonl([record()], tmp_path / "a.jsonl")
    (one,) = gather([tmp_path / "a.jsonl"], lambda _: None)
    assert isinstance(one.record, Record)
    assert one.record == record()
