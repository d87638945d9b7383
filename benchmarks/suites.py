"""Freeze a suite: its lock, and the rows that ship with it.

python benchmarks/suites.py lock NAME               writes the digests of its data and settings; data at hand
python benchmarks/suites.py reference NAME FILE …   keeps the records of these files that are the suite's
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

sys.path.insert(0, str(Path(__file__).parent.parent))

from downstream.judge.records import Record, export_jsonl, import_jsonl
from pretext.atomic import write_json
from pretextbench import frozen, schema, suites
from pretextbench.configurations import CONF
from pretextbench.workbench import Workbench


def composed(name: str) -> list[tuple[str, Any]]:
    """The targets of a suite and their configurations; the suite itself where it has none."""
    suite = compose("config", [f"suite={name}"])
    targets = list(suite.suite.targets)
    return [(t, compose("config", [f"suite={name}/{t}"])) for t in targets] or [(name, suite)]


def lock(name: str) -> frozen.Lock:
    """The lock of a suite as its configuration and the data at hand have it."""
    version = compose("config", [f"suite={name}"]).suite.version
    benches = [(target, Workbench(cfg)) for target, cfg in composed(name)]
    return suites.lock_of(name, version, benches)


def belongs(record: Record, kept: frozen.Lock) -> bool:
    """Whether a record has the data and the settings of a suite, and its encoder the suite's pretraining."""
    own = record.subject.blind or record.subject.pretraining_digest == kept.splits["train"]
    e = record.evaluation
    return own and kept.holds(record.data.digests, e.protocol, e.settings)


def reference(name: str, files: list[str]) -> list[Record]:
    """The records of some files that belong to a suite, each named as the suite's."""
    kept = frozen.read_lock(frozen.lock_path(name))
    records = [record for file in files for record in import_jsonl(Path(file)) if belongs(record, kept)]
    return [replace(r, evaluation=replace(r.evaluation, suite=kept.label)) for r in records]


def main() -> int:
    match sys.argv[1:]:
        case ["lock", name]:
            schema.register()
            with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
                found = lock(name)
            plain = found._asdict() | {"targets": {t: v._asdict() for t, v in found.targets.items()}}
            write_json(frozen.lock_path(name), plain)
        case ["reference", name, *files] if files:
            records = reference(name, files)
            label = frozen.read_lock(frozen.lock_path(name)).label
            export_jsonl(records, frozen.reference_path(label))
            print(f"{len(records)} records of {label}")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
