"""Rewrite the committed records in the form that this version writes; every value stays what it is.

python benchmarks/upgrade_records.py           rewrites every committed file of records
python benchmarks/upgrade_records.py --check   exits 1 where a file is of an older form

What addressed runs and evaluations when they were made stays: it names what lay on a disk. The address of
settings, by which columns are told apart, is written anew where the record kept every field.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.committed import files
from benchmarks.suites import kinds
from downstream.digest import digest
from downstream.judge.record_files import export_jsonl, import_jsonl
from downstream.judge.records import SCHEMA, Record
from pretext.identity import identity_of


def schemas(path: Path) -> set[int]:
    """The schemas of a file's records."""
    with gzip.open(path, "rt") as lines:
        return {json.loads(line)["schema"] for line in lines}


def readdressed(records: Iterable[Record]) -> dict[str, str]:
    """Addresses of settings by the rule of `pretext.identity`, by those that took in every field.

    Settings of another version of a protocol stay as they are: today's defaults are not theirs.
    """
    found: dict[str, str] = {}
    for own in {r.evaluation.settings: r.evaluation for r in records if r.evaluation.options}.values():
        kind = _classes().get(str(own.options.get("class")))
        if digest(own.options) == own.settings and kind is not None and kind.version == own.version:
            found[own.settings] = digest(identity_of(_made(own.options)))
    return found


def upgraded(record: Record, addresses: Mapping[str, str]) -> Record:
    """The record with what addresses its settings today."""
    own = record.evaluation
    return replace(record, evaluation=replace(own, settings=addresses.get(own.settings, own.settings)))


@functools.cache
def _classes() -> dict[str, Any]:
    return {kind.__qualname__: kind for kind in kinds().values() if dataclasses.is_dataclass(kind)}


def _made(options: Any) -> Any:
    """What the fields that a record kept say, as it was made then: what came later is at its default."""
    if isinstance(options, dict) and "class" in options:
        kind = _classes()[options["class"]]
        names = [f.name for f in dataclasses.fields(kind) if f.init]
        return kind(**{name: _made(options[name]) for name in names if name in options})
    return [_made(item) for item in options] if isinstance(options, list) else options


def main() -> int:
    """Return the exit status."""
    old = []
    for path in files():
        records = import_jsonl(path)
        addresses = readdressed(records)  # of predictors that keep no fields, too
        now = [upgraded(record, addresses) for record in records]
        if schemas(path) != {SCHEMA} or now != records:
            old.append((path, now))
    if "--check" in sys.argv[1:]:
        print("\n".join(f"{path.name} is of an older form" for path, _ in old) or f"all of schema {SCHEMA}")
        return 1 if old else 0
    for path, now in old:
        export_jsonl(now, path)
        print(f"{path.name}: schema {SCHEMA}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
