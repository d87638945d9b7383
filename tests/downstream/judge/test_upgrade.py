"""Records of schema 1 read as schema 2."""

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_records import record

from benchmarks.committed import RESULTS, SUITES, files
from benchmarks.league import RECORDS as LEAGUE
from downstream.judge.plain import to_plain
from downstream.judge.record_files import import_jsonl, read
from downstream.judge.records import RecordError
from downstream.judge.upgrade import DEFAULTS
from pretext.backbones import LISTED
from pretext.described import budget, defaults, described

FOREIGN = RESULTS / "foreign.jsonl.gz"
CONFIG: dict[str, Any] = {
    "job": {"name": "benchmark"},
    "pretext": {"epochs": None},
    "backbone": {"_target_": "pretext.backbones.small.SmallNet"},
    "input_arguments": {},
    "trainer": {"epochs": 4, "batch_size": 64, "epoch_batches": None},
    "downstream": {
        "linear": {"_target_": "a.LinearProbe", "pools": [1], "grid": {"_target_": "a.Grid", "epochs": 2}}
    },
}


def schema_1(config: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    """A record as schema 1 wrote it."""
    entry: dict[str, Any] = copy.deepcopy(to_plain(record(backbone="SmallNet", input="lightness", **fields)))
    entry["schema"] = 1
    for part, keys in {
        "subject": ("budget", "twins"),
        "evaluation": ("suite", "options"),
        "result": ("range",),
        "cost": ("pretraining",),
    }.items():
        for key in keys:
            del entry[part][key]
    entry["provenance"]["config"] = config
    return entry


def upgraded(tmp_path: Path, entry: dict[str, Any]) -> Any:
    path = tmp_path / "e0.json"
    path.write_text(json.dumps([entry]))
    (found,) = read(path)
    return found


def test_values_do_not_move_and_what_the_configuration_says_is_filled_in(tmp_path: Path) -> None:
    old = schema_1(CONFIG, images_seen=143872)
    new = upgraded(tmp_path, old)
    assert new.schema == 2
    plain = to_plain(new)
    for part in ("subject", "evaluation", "data", "result", "cost", "provenance"):
        for key, value in old[part].items():
            assert plain[part][key] == value, f"{part}.{key}"
    assert (new.subject.backbone, new.subject.input) == ("SmallNet", "lightness")
    assert (new.subject.budget, new.subject.twins) == ("4 epochs", {})
    assert new.evaluation.options == {
        "class": "LinearProbe",
        "pools": [1],
        "grid": {"class": "Grid", "epochs": 2},
    }
    assert (new.result.range, new.cost.pretraining, new.evaluation.suite) == ((0.0, 1.0), None, "")


@pytest.mark.parametrize(
    ("config", "fields", "expected"),
    [
        (
            {"backbone": {"_target_": "pretext.backbones.small.SmallNet", "widths": [16, 32, 48, 64, 64]}},
            {},
            {"backbone": "SmallNet(widths=[16, 32, 48, 64, 64])"},
        ),
        (
            {"backbone": {"_target_": "pretext.backbones.timm_net.TimmNet", "model": "resnet50"}},
            {},
            {"backbone": "TimmNet(model='resnet50')"},
        ),
        ({"input_arguments": {"scale": 1.0}}, {}, {"input": "lightness(scale=1)"}),
        ({"pretext": {"epochs": 40}}, {}, {"budget": "40 epochs"}),
        ({"pretext": {"epochs": 1}}, {}, {"budget": "4 epochs"}),
        (
            {"trainer": {"epochs": 1, "epoch_batches": 10, "batch_size": 4}},
            {},
            {"budget": "1 epoch of 40 images"},
        ),
        ({}, {"images_seen": 0}, {"budget": ""}),
        ({"job": {"name": "evaluate"}}, {"images_seen": 7}, {"budget": "7 images"}),
        (
            {"job": {"name": "evaluate"}, "backbone": {"_target_": "x.Other"}},
            {},
            {"backbone": "SmallNet"},
        ),
    ],
)
def test_networks_inputs_and_budgets(
    config: dict[str, Any], fields: dict[str, Any], expected: dict[str, str], tmp_path: Path
) -> None:
    subject = upgraded(tmp_path, schema_1(CONFIG | config, **fields)).subject
    assert {key: getattr(subject, key) for key in expected} == expected


def test_ap_by_size_on_the_canvas_is_not_called_as_cocos(tmp_path: Path) -> None:
    found = [
        upgraded(tmp_path, schema_1(CONFIG, metric=name)).evaluation.metric
        for name in ("ap_small", "ap_medium", "ap_large", "coco_ap")
    ]
    assert found == ["ap_below_32px", "ap_32_to_96px", "ap_above_96px", "coco_ap"]


def test_a_record_that_is_no_record_is_still_named(tmp_path: Path) -> None:
    entry = schema_1({})
    assert upgraded(tmp_path, entry).subject.budget == "1000 images"
    for part in ("subject", "provenance", "cost"):
        with pytest.raises(RecordError, match=rf"line 1: {part}: "):
            upgraded(tmp_path, {**entry, part: 3})
    with pytest.raises(RecordError, match="expected int"):
        upgraded(tmp_path, {**entry, "subject": {**entry["subject"], "images_seen": "many"}})


@pytest.mark.parametrize("value", [None, 7, 1.5, "x", [], {}, [[1]], {"a": [1]}])
def test_no_value_of_an_old_record_stops_more_than_its_file(value: Any, tmp_path: Path) -> None:
    for part in ("subject", "evaluation", "result", "cost"):
        for key in schema_1(CONFIG)[part]:
            refused(tmp_path, schema_1(CONFIG), part, key, value)
    for part, own in CONFIG.items():
        refused(tmp_path, schema_1(CONFIG), "provenance", "config", CONFIG | {part: value})
        for key in own:
            refused(tmp_path, schema_1(CONFIG), "provenance", "config", CONFIG | {part: own | {key: value}})


def refused(tmp_path: Path, entry: dict[str, Any], part: str, key: str, value: Any) -> None:
    """Read, or refused by name; a configuration may hold anything."""
    entry[part][key] = value
    with contextlib.suppress(RecordError) if part == "provenance" else named(key):
        upgraded(tmp_path, entry)


@contextlib.contextmanager
def named(key: str) -> Iterator[None]:
    told = key
    with contextlib.suppress(RecordError):
        try:
            yield
        except RecordError as error:
            told = str(error)
            raise
    assert key in told


def test_the_defaults_of_schema_1_are_those_of_the_networks() -> None:
    """Rows of both schemas would stand apart otherwise."""
    known = [kind for kind in LISTED if kind.__name__ in DEFAULTS]
    assert {kind.__name__ for kind in known} == DEFAULTS.keys() - {"VisionTransformer"}
    for kind in known:
        now = {key: list(v) if isinstance(v, tuple) else v for key, v in defaults(kind).items()}
        for key, value in DEFAULTS[kind.__name__].items():
            assert now[key] == value, f"{kind.__name__}.{key}"


def test_a_description_leaves_out_what_is_so_by_default() -> None:
    assert described("Net", {"a": 1, "b": (1, 2)}, {"a": 1, "b": [1, 2]}) == "Net"
    assert described("Net", {"b": 2, "a": "x"}, {"a": 1}) == "Net(a='x', b=2)"
    assert (budget(0, None, 8), budget(1, None, 8), budget(3, 5, 8)) == (
        "",
        "1 epoch",
        "3 epochs of 40 images",
    )


def test_records_that_were_upgraded_are_of_one_network_input_and_budget() -> None:
    # Systems that colour, which have no network, and encoders from elsewhere came after.
    upgraded = [path for path in files() if path.parent != SUITES and path not in (LEAGUE, FOREIGN)]
    assert upgraded
    for path in upgraded:
        subjects = [r.subject for r in import_jsonl(path) if not r.subject.blind]
        assert {(s.backbone, s.input) for s in subjects} == {("SmallNet", "lightness")}
        assert {s.budget for s in subjects} == {"", "4 epochs"}
