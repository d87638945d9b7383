"""Records made up for tests: valid in every field, each of which a test may replace."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from downstream.judge.records import (
    SCHEMA,
    Cost,
    Data,
    Effort,
    Evaluation,
    Provenance,
    Record,
    Result,
    Subject,
)

SUBJECT = Subject(
    pretext="rotation",
    backbone="small",
    input="rgb",
    calibration="none",
    pretraining="photos",
    pretraining_digest="p" * 64,
    budget="4 epochs",
    images_seen=1000,
    recipe="rotation-recipe",
    twins={},
    run="run",
    seed=0,
    precision="float32",
)
EVALUATION = Evaluation(
    digest="e0",
    suite="",
    data="photos",
    split="test",
    task="classification",
    protocol="linear",
    version=1,
    settings="s" * 64,
    options={"class": "LinearProbe", "pools": [1]},
    trains_encoder=False,
    stage="conv3",
    metric="mAP",
    primary=True,
    draw=0,
    precision="float32",
)
RESULT = Result(
    value=0.5,
    unit="fraction",
    direction="higher",
    range=(0.0, 1.0),
    selected=True,
    selected_on="val",
    setting={"lr": 0.1, "k": 3, "pool": "mean"},
    val=0.6,
    train=0.7,
    chance=0.2,
    flags=(),
    rows="0" * 64,
    resampled=(0.5, 0.25),
)
DATA = Data(digests={"test": "t" * 64}, counts={"test": 3}, resolution=(64, 64))
COST = Cost(1.0, "cpu", 100.0, 50.0, 10, 20, Effort(1000, 2000, None, 60.0, "cpu"))
PROVENANCE = Provenance(
    config={"a": [1, None, {"b": "c"}]},
    commit="abc",
    dirty=False,
    versions={"torch": "2"},
    utc="2026-01-01T00:00:00Z",
    scoring="x",
    weights="w",
)
PARTS: dict[str, Any] = {
    "subject": SUBJECT,
    "evaluation": EVALUATION,
    "data": DATA,
    "result": RESULT,
    "cost": COST,
    "provenance": PROVENANCE,
}
"""Field names are unique across the parts of a record but for two: a test that says `precision` means that of
the evaluation, and by `pretraining` the name of a set."""


def record(evaluation: str = "e0", rows: str = "0" * 64, **fields: Any) -> Record:
    """A record with the given fields replaced, in whichever part has them."""
    fields = {"digest": evaluation, "rows": rows} | fields
    parts = {}
    for name, part in PARTS.items():
        own = {f.name for f in dataclasses.fields(part)}
        own -= {"subject": {"precision"}, "cost": {"pretraining"}}.get(name, set())
        parts[name] = dataclasses.replace(part, **{k: fields[k] for k in own & set(fields)})
    known = {f.name for part in PARTS.values() for f in dataclasses.fields(part)}
    assert set(fields) <= known, f"a record has no field {set(fields) - known}"
    return Record(SCHEMA, **parts)


def change(
    folder: Path, which: Callable[[dict[str, Any]], bool], how: Callable[[dict[str, Any]], object]
) -> str:
    """Change the first record that is meant, as by hand; return its file and line."""
    for path in sorted(folder.glob("*.json")):
        lines = path.read_text().splitlines()
        for place, line in enumerate(lines[1:-1], start=1):
            entry = json.loads(line.removesuffix(","))
            if which(entry):
                how(entry)
                lines[place] = json.dumps(entry) + "," * line.endswith(",")
                path.write_text("\n".join(lines) + "\n")
                return f"{path}, line {place + 1}"
    raise AssertionError("there is no such record")


def linear(entry: dict[str, Any]) -> bool:
    """Whether an entry is the score of a linear probe that was resampled."""
    return bool(entry["evaluation"]["protocol"] == "linear" and entry["result"]["resampled"])
