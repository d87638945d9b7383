"""`records=[…]`: several people's scores in one table, held to their digests and rows."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import change, linear

from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from downstream.judge.consistent import hold_together, one_encoder_a_seed
from downstream.judge.record_files import export_jsonl, import_jsonl, read_all
from downstream.judge.records import Record, RecordError, Subject
from downstream.judge.seeds import called
from downstream.judge.shared import Found
from pretextbench import frozen
from pretextbench.configurations import CONF
from pretextbench.merging import TOLD, merged

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
PROBE = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=1, least_steps=0))


def notes(*places: Path, reference: bool = False) -> tuple[str, ...]:
    return merged([str(place) for place in places], places[0], reference).notes


def write(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write records as a run leaves them, a line each."""
    path.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")


def faults(*places: Path) -> list[str]:
    with pytest.raises(RecordError) as refused:
        merged([str(place) for place in places], places[0], False)
    first, *others = str(refused.value).splitlines()
    assert first == "records that cannot be used:"
    return others


def test_all_is_made_again_where_the_rows_are_there(made: Path) -> None:
    assert notes(made / "records") == (f"Records of {made / 'records'}.",)


def test_what_has_no_rows_is_counted_once(made: Path, theirs: Path) -> None:
    count = len(read_all(theirs))
    shutil.rmtree(theirs / "rows")
    assert notes(theirs)[1:] == (
        f"{count} of {count} records were not computed again from their rows: {count} without their "
        "per-example rows.",
    )
    both = notes(theirs, made / "records")
    assert both[1:] == (f"{count} records are there more than once, with the same values: shown once.",)


@pytest.mark.parametrize("by", [0.2, 1e-4, -1e-4])
def test_a_value_that_was_changed_within_its_range_is_noticed(theirs: Path, by: float) -> None:
    where = change(theirs, linear, lambda r: r["result"].update(value=r["result"]["value"] + by))
    (fault,) = faults(theirs)
    assert re.fullmatch(
        re.escape(where)
        + r": result\.value [\d.]+ of 'mAP' is not what its rows say, [\d.]+: it was changed",
        fault,
    )


@pytest.mark.parametrize(("spreads", "refused"), [(0.9, False), (1.1, True)])
def test_a_value_far_from_its_resamples_is_noticed_without_rows(
    spreads: float, refused: bool, theirs: Path
) -> None:
    """Metrics that are biased, as precision is, may lie a little beyond them."""

    def put(record: dict[str, Any]) -> None:
        kept = [0.3 + 0.001 * place for place in range(100)]
        record["result"].update(value=kept[-1] + spreads * (kept[-1] - kept[0]), resampled=kept)

    shutil.rmtree(theirs / "rows")
    where = change(theirs, linear, put)
    for path in theirs.glob("*.json"):  # others of the column have fewer resamples
        if not where.startswith(str(path)):
            path.unlink()
    if not refused:
        assert notes(theirs)
        return
    (fault,) = faults(theirs)
    assert fault.startswith(f"{where}: result.value: 0.5079")
    assert fault.endswith("lies far from its own resamples, 0.3 to 0.399")


def test_a_fault_of_several_records_of_a_line_is_told_once(theirs: Path) -> None:
    path = sorted(theirs.glob("*.json"))[0]
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["result"]["value"] = 7.5
    path.write_text(json.dumps(entries))
    (fault,) = faults(theirs)
    assert fault.count("line 1") == 1


def test_a_budget_that_was_changed_is_noticed_and_one_without_its_configuration_is_counted(
    theirs: Path,
) -> None:
    where = change(theirs, linear, lambda r: r["subject"].update(budget="1 epoch"))
    assert f"{where}: subject.budget '1 epoch', and its configuration gives '4 epochs'" in faults(theirs)
    change(theirs, linear, lambda r: r["subject"].update(budget="4 epochs"))
    change(theirs, linear, lambda r: r["provenance"].update(config={}))
    (note,) = notes(theirs)[1:]
    assert note == (
        f"1 of {len(read_all(theirs))} records do not show what their pretraining was given and took: 1 "
        "whose configuration asks for no run, or for another."
    )


def test_a_seed_of_a_row_is_one_encoder_in_whatever_order_folders_are_named(
    theirs: Path, tmp_path: Path
) -> None:
    """The same weights by two seeds, and other weights by one of them."""

    def by(seed: int, run: str) -> Path:
        folder = tmp_path / f"{seed}{run}"
        shutil.copytree(theirs, folder)
        for path in folder.glob("*.json"):
            entries = json.loads(path.read_text())
            for entry in entries:
                own = Subject(**{**entry["subject"], "run": run})
                if not own.blind:
                    entry["subject"] = asdict(called(own, seed))
                    entry["provenance"]["config"] = {"job": {"name": "evaluate"}}
            write(path, entries)
        return folder

    first, renamed, other = by(0, "a" * 64), by(1, "a" * 64), by(0, "b" * 64)
    for places in ((first, renamed), (renamed, first)):
        assert any("the same weights are seed" in fault for fault in faults(*places))
    for places in ((first, other), (other, first)):
        assert any("two encoders are seed 0 of" in fault for fault in faults(*places))


def test_rounding_is_no_change(theirs: Path) -> None:
    change(theirs, linear, lambda r: r["result"].update(value=round(r["result"]["value"], 7)))
    assert len(notes(theirs)) == 1


def test_resamples_that_were_changed_are_noticed(theirs: Path) -> None:
    def narrow(entry: dict[str, Any]) -> None:
        value = entry["result"]["value"]
        entry["result"]["resampled"] = [value + 0.1 * (v - value) for v in entry["result"]["resampled"]]

    where = change(theirs, linear, narrow)
    (fault,) = faults(theirs)
    assert fault.startswith(f"{where}: result.resampled[0] ")
    assert "is not what its rows say" in fault


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("left", [2, 39])
def test_resamples_that_were_cut_short_are_noticed(left: int, rows: bool, theirs: Path) -> None:
    if not rows:
        shutil.rmtree(theirs / "rows")
    where = change(theirs, linear, lambda r: r["result"].update(resampled=r["result"]["resampled"][:left]))
    (fault,) = faults(theirs)
    assert fault == f"{where}: result.resampled has {left}, others of its column 40"


def test_resamples_that_were_taken_away_are_noticed(theirs: Path) -> None:
    where = change(theirs, linear, lambda r: r["result"].update(resampled=[]))
    assert faults(theirs) == [
        f"{where}: result.resampled is empty, and its rows are there: it was taken away"
    ]
    shutil.rmtree(theirs / "rows")
    assert len(notes(theirs)) == 2


def test_a_metric_made_the_primary_one_is_noticed(theirs: Path) -> None:
    where = change(theirs, linear, lambda r: r["evaluation"].update(primary=not r["evaluation"]["primary"]))
    assert f"{where}: evaluation.primary is False of 'mAP', of mAP" in "".join(faults(theirs))


def test_the_same_images_are_of_one_size(theirs: Path) -> None:
    where = change(theirs, linear, lambda r: r["data"].update(resolution=[8, 9]))
    (fault,) = faults(theirs)
    assert where in fault
    assert "(8, 9)" in fault
    assert re.search(r": the same images of \w+ are \d+ of \(\d+, \d+\) and \d+ of \(", fault)


def test_rows_that_were_changed_are_noticed(theirs: Path) -> None:
    path = sorted((theirs / "rows").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert faults(theirs) == [f"{path}: its SHA-256 is not its name: the file was changed"]


def forged(theirs: Path, rows: dict[str, np.ndarray]) -> list[str]:
    """What is said of other rows under their own digest."""
    import io

    buffer = io.BytesIO()
    np.savez(buffer, **rows)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (theirs / "rows" / f"{digest}.npz").write_bytes(buffer.getvalue())
    change(theirs, linear, lambda r: r["result"].update(rows=digest))
    return faults(theirs)


def test_rows_of_another_kind_are_no_rows_of_the_protocol(theirs: Path) -> None:
    (fault,) = forged(theirs, {"scores": np.zeros((32, 3)), "labels": np.zeros(32)})
    assert "its rows are none of linear: ValueError: " in fault
    (fault,) = forged(theirs, {"scores": np.zeros((7, 3)), "labels": np.zeros((7, 3), np.uint8)})
    assert "its rows 'scores' are (7, 3), of 32 images" in fault
    (fault,) = forged(theirs, {"cluster": np.zeros(32)})
    assert "its rows are none of linear: " in fault


def test_rows_that_hold_code_are_not_run(theirs: Path) -> None:
    (fault,) = forged(theirs, {"scores": np.array([{"a": 1}] * 32, dtype=object)})
    assert "no rows: " in fault
    assert "allow_pickle" in fault


OTHERWISE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "settings": (
        lambda r: r["evaluation"].update(settings="0" * 64),
        "evaluation.settings is no digest of linear with evaluation.options",
    ),
    "options": (
        lambda r: r["evaluation"]["options"]["grid"].update(epochs=9),
        "evaluation.settings is no digest of linear with evaluation.options",
    ),
    "protocol": (
        lambda r: r["evaluation"].update(protocol="knn"),
        "evaluation.options are those of 'linear', evaluation.protocol is 'knn'",
    ),
    "task": (
        lambda r: r["evaluation"].update(task="segmentation"),
        "evaluation.task of linear is 'classification', the record has 'segmentation'",
    ),
    "training": (
        lambda r: r["evaluation"].update(trains_encoder=True),
        "evaluation.trains_encoder of linear is False, the record has True",
    ),
    "suite": (
        lambda r: r["evaluation"].update(suite="tiny64 v1"),
        "evaluation.suite is 'tiny64 v1', which has no linear of these settings on these images",
    ),
    "selected on": (
        lambda r: r["result"].update(selected_on="test"),
        "result.selected_on of linear is 'val', the record has 'test'",
    ),
    "run": (
        lambda r: r["subject"].update(run="another"),
        "evaluation.digest is none of subject, data and evaluation: one was changed",
    ),
    "pretext": (
        lambda r: r["subject"].update(pretext="another"),
        "evaluation.digest is none of subject, data and evaluation: one was changed",
    ),
    "test images": (
        lambda r: r["data"]["digests"].update(test="0" * 64),
        "evaluation.digest is none of subject, data and evaluation: one was changed",
    ),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_digests_are_those_of_what_a_record_says(what: str, theirs: Path) -> None:
    how, said = OTHERWISE[what]
    where = change(theirs, linear, how)
    assert faults(theirs)[0] == f"{where}: {said}"


def by_older_rule(entry: dict[str, Any]) -> None:
    entry["provenance"]["versions"]["pretextbench"] = "0.1.0"
    entry["subject"]["run"] = "another"


UNKNOWN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another version": (lambda r: r["evaluation"].update(version=99), "1 of linear v99, which is at v"),
    "an older rule": (by_older_rule, "1 addressed as they were before 0.2.0"),
    "no options": (lambda r: r["evaluation"].update(options={}), "1 without the options of their protocol"),
    "a class that is not here": (
        lambda r: r["evaluation"]["options"].update({"class": "Theirs"}),
        "1 of a protocol that is not here",
    ),
    "a class of the language": (
        lambda r: r["evaluation"]["options"].update(grid={"class": "Path", "a": "b"}),
        "1 of options that linear has not here",
    ),
    "an option that came later": (
        lambda r: r["evaluation"]["options"].update(pools={"class": "Later"}),
        "1 of options that linear has not here",
    ),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_this_version_cannot_make_again_is_counted_by_its_reason(what: str, theirs: Path) -> None:
    how, said = UNKNOWN[what]
    count = len(read_all(theirs))
    change(theirs, linear, how)
    assert notes(theirs)[1].startswith(
        f"1 of {count} records were not computed again from their rows: {said}"
    )


def test_many_faults_are_counted(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("no\n" * (TOLD + 5))
    found = faults(path)
    assert found[-1] == "and 5 more"
    assert len(found) == TOLD + 1


def test_the_rows_that_ship_with_a_suite_are_compared_too(
    made: Path, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "locks", tuple)  # these are of no suite

    def of_suite(records: list[Record]) -> list[Record]:
        return [replace(r, evaluation=replace(r.evaluation, suite="tiny64 v1")) for r in records]

    shipped = tmp_path / "tiny64.v1.jsonl.gz"
    own = of_suite(read_all(made / "records"))
    export_jsonl(own, shipped)
    monkeypatch.setattr(
        frozen, "reference_path", lambda label: shipped if label == "tiny64 v1" else tmp_path / "none"
    )
    mine = tmp_path / "mine.jsonl"
    export_jsonl(own[:2], mine)
    assert len(merged([str(mine)], tmp_path, True).records) == len(own)
    export_jsonl([replace(own[0], result=replace(own[0].result, value=own[0].result.value / 2))], mine)
    with pytest.raises(
        RecordError, match=r"mine\.jsonl, line 1 and .*tiny64\.v1\.jsonl\.gz, line 1: .*two result\.value"
    ):
        merged([str(mine)], tmp_path, True)
    assert len(merged([str(mine)], tmp_path, False).records) == 1


def chosen(entry: dict[str, Any]) -> bool:
    return linear(entry) and bool(entry["result"]["selected"] and entry["evaluation"]["primary"])


def moved(folder: Path) -> str:
    """Have a stage shown that was not the best on val, as by hand; return the file and line of that stage."""
    record = next(r for r in read_all(folder) if r.result.selected and r.evaluation.protocol == "linear")
    path = folder / f"{record.evaluation.digest}.json"
    entries = json.loads(path.read_text())
    vals = {e["evaluation"]["stage"]: e["result"]["val"] for e in entries if e["evaluation"]["primary"]}
    other = min(vals, key=lambda stage: vals[stage])
    assert vals[other] < vals[record.evaluation.stage]
    for entry in entries:
        entry["result"]["selected"] = entry["evaluation"]["stage"] == other
    write(path, entries)
    place = next(i for i, e in enumerate(entries) if e["evaluation"]["stage"] == other and
                 e["evaluation"]["primary"])  # fmt: skip
    return f"{path}, line {place + 2}"


def test_a_stage_that_is_not_the_best_on_val_is_not_shown(theirs: Path) -> None:
    where = moved(theirs)
    assert [fault for fault in faults(theirs) if fault.startswith(f"{where}: stage ") and
            "is not the best on val" in fault]  # fmt: skip


def test_of_a_shared_evaluation_a_stage_is_chosen(theirs: Path) -> None:
    where = change(theirs, chosen, lambda r: r["result"].update(selected=False))
    said = [fault for fault in faults(theirs) if "and none of these was chosen" in fault]
    assert len(said) == 1
    assert said[0].partition(", line")[0] == where.partition(", line")[0]


def test_a_seed_is_that_of_the_configuration_and_of_the_run(theirs: Path) -> None:
    where = change(theirs, chosen, lambda r: r["subject"].update(seed=7))
    found = faults(theirs)
    assert any(where in fault and "one run, and seeds" in fault for fault in found), found
    asked = {"job": {"name": "benchmark"}, "pretext": {}, "seed": 1}
    change(theirs, chosen, lambda r: r["provenance"]["config"].update(asked))
    assert any("seed 7, and its configuration has 1" in fault for fault in faults(theirs))


@pytest.mark.parametrize(
    "path",
    [*sorted((CONF / "suite").glob("*.gz")), *sorted(RESULTS.glob("*.gz"))],
    ids=lambda path: path.name.partition(".")[0],
)
def test_the_committed_records_hold_together(path: Path) -> None:
    found = [Found(record, path, place, path.parent) for place, record in enumerate(import_jsonl(path))]
    told: list[str] = []
    hold_together(found, told.append)
    one_encoder_a_seed(found, told.append)
    assert told == []
