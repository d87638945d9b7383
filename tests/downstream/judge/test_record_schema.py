"""The published schema of records: what it says, and that it and the reader refuse the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_records import record

from benchmarks.committed import files
from downstream.judge.plain import to_plain
from downstream.judge.record_files import import_jsonl
from downstream.judge.record_schema import meanings, record_schema
from downstream.judge.records import Cost, Effort, Record, RecordError, Subject

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the development group")
PUBLISHED = Path(__file__).parents[3] / "docs" / "record.schema.json"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(PUBLISHED.read_text())
    kind = jsonschema.Draft202012Validator
    kind.check_schema(schema)
    return kind(schema)


def strict(text: str) -> Any:
    """JSON as its standard has it: without NaN and infinities."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_published_schema_is_what_the_types_say() -> None:
    assert json.loads(PUBLISHED.read_text()) == record_schema()


def test_every_field_says_what_it_means() -> None:
    schema = json.loads(PUBLISHED.read_text())
    for name, part in {"Record": schema, **schema["$defs"]}.items():
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])
        for key, field in part["properties"].items():
            assert len(field["description"]) > 5, f"{name}.{key}"
    assert meanings(Subject)["seed"] == "the pretraining seed."
    assert meanings(Subject)["input"] == meanings(Subject)["backbone"]
    assert meanings(Effort)["views"].endswith("None where an older run did not count them.")
    for kind in (Subject, Effort, Cost, Record):
        assert list(meanings(kind)) == [f.name for f in dataclasses.fields(kind)]


def committed() -> list[Any]:
    """A record of each file, protocol, metric and kind of row."""
    found: dict[tuple[object, ...], Any] = {}
    for path in files():
        for line, entry in zip(path_lines(path), import_jsonl(path), strict=True):
            e = entry.evaluation
            found.setdefault((path, e.protocol, e.metric, entry.subject.blind, e.primary), line)
    assert len(found) > 100
    return list(found.values())


def path_lines(path: Path) -> list[str]:
    import gzip

    return gzip.decompress(path.read_bytes()).decode().splitlines()


@pytest.mark.slow
def test_committed_records_are_of_the_schema(validator: Any) -> None:
    for line in committed():
        error = jsonschema.exceptions.best_match(validator.iter_errors(strict(line)))
        assert error is None, f"{error.json_path}: {error.message}"


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a field is missing": lambda r: r["result"].pop("value"),
    "a part is missing": lambda r: r.pop("cost"),
    "a field too many": lambda r: r["subject"].update(lab="x"),
    "a part too many": lambda r: r.update(more={}),
    "7.5 of a fraction": lambda r: r["result"].update(value=7.5),
    "a fraction below 0": lambda r: r["result"].update(value=-0.1),
    "a fraction of another range": lambda r: r["result"].update(value=7.5, range=[0.0, 10.0]),
    "below the end of a range": lambda r: r["result"].update(value=-1, unit="ab", range=[0.0, None]),
    "NaN": lambda r: r["result"].update(value=float("nan")),
    "infinity": lambda r: r["cost"].update(seconds=float("inf")),
    "a direction of its own": lambda r: r["result"].update(direction="sideways"),
    "a negative seed": lambda r: r["subject"].update(seed=-1),
    "half an image": lambda r: r["data"]["counts"].update(test=2.5),
    "an image of no height": lambda r: r["data"].update(resolution=[0, 64]),
    "three ends": lambda r: r["result"].update(range=[0.0, 1.0, 2.0]),
    "no version": lambda r: r["evaluation"].update(version=0),
    "seconds below 0": lambda r: r["cost"]["pretraining"].update(seconds=-1.0),
    "a time of its own": lambda r: r["provenance"].update(utc="yesterday"),
    "another schema": lambda r: r.update(schema=3),
    "text for a number": lambda r: r["result"].update(value="0.5"),
    "yes for a number": lambda r: r["cost"].update(parameters=True),
}


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_what_is_broken_fails_in_both(edit: str, validator: Any, tmp_path: Path) -> None:
    entry = to_plain(record())
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps(entry) + "\n")
    assert import_jsonl(path) == [record()]
    assert validator.is_valid(strict(path.read_text()))

    EDITS[edit](entry)
    path.write_text(json.dumps(entry) + "\n")
    with pytest.raises(RecordError, match=r"one\.jsonl, line 1: "):
        import_jsonl(path)
    if edit in ("NaN", "infinity"):
        with pytest.raises(ValueError, match="is no JSON"):
            strict(path.read_text())
    else:
        assert not validator.is_valid(strict(path.read_text()))


def test_an_end_that_is_open_is_open_in_both(validator: Any, tmp_path: Path) -> None:
    made = record(value=7.5, unit="ab", range=(0.0, None))
    assert validator.is_valid(to_plain(made))
    assert validator.is_valid(to_plain(record(value=-0.5, unit="of 1", range=(-1.0, 1.0))))
