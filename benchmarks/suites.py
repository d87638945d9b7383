"""Freeze a suite: its lock, and the rows that ship with it; and the defaults that no digest names.

python benchmarks/suites.py lock NAME               writes the digests of its data and settings, and what its
                                                    classes are called; data at hand
python benchmarks/suites.py reference NAME PLACE …  keeps what files or output folders hold of the suite
python benchmarks/suites.py alike NAME PLACE …      notes which code gave the very scores that ship
python benchmarks/suites.py defaults                writes down the defaults of all that is addressed
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).parent.parent))

from downstream.judge import class_names, provenance
from downstream.judge.record_files import export_jsonl, import_jsonl, read_all
from downstream.judge.records import Record, RecordError
from downstream.judge.shared import gather, once, portable
from downstream.leaderboard.options import stated
from pretext.atomic import write_json
from pretext.fit import Optimisation
from pretext.identity import OWN, declared, defaults, usual, version
from pretext.inputs import INPUTS
from pretextbench import frozen, schema, suites
from pretextbench.configurations import CONF
from pretextbench.context import Context

DEFAULTS = Path(__file__).parent.parent / "tests" / "defaults.json"


def composed(name: str) -> list[tuple[str, Any]]:
    """The targets of a suite and their configurations; the suite itself where it has none."""
    suite = compose("config", [f"suite={name}"])
    targets = list(suite.suite.targets)
    return [(t, compose("config", [f"suite={name}/{t}"])) for t in targets] or [(name, suite)]


def lock(name: str) -> frozen.Lock:
    """The lock of a suite as its configuration and the data at hand have it; keeps the names of classes."""
    version = compose("config", [f"suite={name}"]).suite.version
    contexts = [(target, Context(cfg)) for target, cfg in composed(name)]
    for _, context in contexts:
        class_names.keep(frozen.FOLDER, context.target)
    return suites.lock_of(name, version, contexts)


def belongs(record: Record, kept: frozen.Lock) -> bool:
    """Whether a record has the data and the settings of a suite, and its encoder the suite's pretraining."""
    own = record.subject.blind or record.subject.pretraining_digest == kept.splits["train"]
    e = record.evaluation
    return own and kept.holds(record.data.digests, e.protocol, e.settings)


def records_of(place: Path) -> list[Record]:
    """The records of a file, or of an output folder, in the order of their evaluations."""
    return [portable(r) for r in read_all(place / "records")] if place.is_dir() else import_jsonl(place)


def reference(name: str, places: list[str]) -> list[Record]:
    """The records of some places that belong to a suite, each score once, named as the suite's.

    Raises:
        RecordError: any that cannot be trusted, or one score with two values.
    """
    kept = frozen.read_lock(frozen.lock_path(name))
    faults: list[str] = []
    found = [one for one in gather(map(Path, places), faults.append) if belongs(one.record, kept)]
    own, _ = once(found, lambda one: False, faults.append)
    if faults:
        raise RecordError("\n".join(faults))
    records = [portable(one.record) for one in own]
    return [replace(r, evaluation=replace(r.evaluation, suite=kept.label)) for r in records]


def alike(shipped: Iterable[Record], again: Iterable[Record]) -> dict[str, list[list[str]]]:
    """Groups of digests of scoring code that gave the same scores, by module of the protocol's class.

    Args:
        shipped: records. again: of the same evaluations, made by other code.

    Raises:
        ValueError: a score that is another, or none that was made again.
    """
    before = {_score(record): record for record in shipped}
    groups = {module: list(map(set, found)) for module, found in provenance.alike().items()}
    made = [(before[_score(r)], r) for r in again if r.result.selected and _score(r) in before]
    if not made:
        raise ValueError("no score of the suite was made again there")
    for old, new in made:
        where = f"{new.subject.pretext} by {new.evaluation.protocol} on {new.evaluation.data}"
        if old.provenance.weights != new.provenance.weights:
            raise ValueError(f"{where}: other weights than those that were scored")
        if old.result != new.result:
            raise ValueError(
                f"{where}: {new.evaluation.metric} was {old.result.value} and is {new.result.value}, or its "
                "resamples, rows or flags are others"
            )
        own = groups.setdefault(stated()[new.evaluation.protocol].module, [])
        joined = {old.provenance.scoring, new.provenance.scoring}
        joined = joined.union(*(group for group in own if group & joined))
        own[:] = [group for group in own if not group & joined] + [joined]
    return {module: sorted(map(sorted, own)) for module, own in sorted(groups.items())}


def _score(record: Record) -> tuple[str, str, str, str]:
    e = record.evaluation
    return e.digest, record.subject.pretext, e.stage, e.metric


def kinds() -> dict[str, Callable[..., Any]]:
    """Everything of this package that a configuration can name, and what that takes by default, by path."""
    nodes = [OmegaConf.to_container(OmegaConf.load(path)) for path in CONF.rglob("*.yaml")]
    paths = {path for node in nodes for path in _targets(node) if path.partition(".")[0] in OWN}
    found: dict[str, Callable[..., Any]] = {}
    waiting = [*map(get_object, sorted(paths)), *INPUTS.values(), Optimisation]
    while waiting:
        kind = waiting.pop()
        found[f"{kind.__module__}.{kind.__qualname__}"] = kind
        waiting += [type(value) for value in usual(kind).values() if is_dataclass(value)]
    return dict(sorted(found.items()))


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _targets(item)


def defaults_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """What stands for a kind in the file of defaults."""
    return {"name": declared(kind), "version": version(kind), "defaults": defaults(kind)}


def changed(kept: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What is not as it was written down and would give another meaning to digests, in words.

    An option that came moves no digest.
    """
    names = {each["name"] for each in found.values()}
    words = [
        f"{path} is gone: declare name = {each['name']!r} in what took its place, or delete its entry"
        for path, each in kept.items()
        if each["name"] not in names
    ]
    there = {(each["name"], each["version"]): each["defaults"] for each in kept.values()}
    for path, each in found.items():
        before = there.get((each["name"], each["version"]), {})
        for name in sorted(before.keys() & each["defaults"].keys()):
            if before[name] != each["defaults"][name]:
                now = each["defaults"][name]
                words.append(
                    f"{path}: {name} was {before[name]!r} by default and is {now!r}: raise its version"
                )
    return words


def main() -> int:
    match sys.argv[1:]:
        case ["lock", name]:
            schema.register()
            with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
                found = lock(name)
            plain = found._asdict() | {"targets": {t: v._asdict() for t, v in found.targets.items()}}
            write_json(frozen.lock_path(name), plain)
        case ["reference", name, *places] if places:
            records = reference(name, places)
            label = frozen.read_lock(frozen.lock_path(name)).label
            export_jsonl(records, frozen.reference_path(label))
            print(f"{len(records)} records of {label}")
        case ["alike", name, *places] if places:
            label = frozen.read_lock(frozen.lock_path(name)).label
            again = [record for place in places for record in records_of(Path(place))]
            write_json(provenance.ALIKE, alike(frozen.reference(label), again))
        case ["defaults"]:
            kept = json.loads(DEFAULTS.read_text()) if DEFAULTS.is_file() else {}
            found_now = {path: defaults_of(kind) for path, kind in kinds().items()}
            if wrong := changed(kept, found_now):
                print("\n".join(wrong))
                return 1
            write_json(DEFAULTS, found_now)
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
