"""What has changed since a score was made: its protocol, its data, or the code that scores it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from downstream.judge.flags import CODE_CHANGED, DATA_CHANGED, PROTOCOL_CHANGED, STALE
from downstream.judge.provenance import outdated
from downstream.judge.records import Record
from downstream.leaderboard.options import stated
from pretext.atomic import write_bytes
from pretextbench import frozen
from pretextbench.commands import command
from pretextbench.console import console

REDO = "redo.sh"
"""The commands that make stale scores again."""
ALL_BEFORE = (
    "Columns whose scores were all made by scoring code of before carry no mark for it: no row of theirs is "
    "compared with a newer one."
)


class Marked(NamedTuple):
    """Records with flags for what has changed, not to be stored so; and what a reader must know beside."""

    records: list[Record]
    notes: tuple[str, ...]


def marked(records: Sequence[Record]) -> Marked:
    """These records, with a flag for each thing that has changed since.

    Those of stages that were not chosen, whose flags no table shows, stay as they are. Where all scores of a
    column were made by code of before, a note says so: they are compared with none that is newer.
    """
    found = changes(records)
    newer = {
        _column(record)
        for record, flags in zip(records, found, strict=True)
        if record.result.selected and CODE_CHANGED not in flags
    }
    made, unmarked = [], False
    for record, flags in zip(records, found, strict=True):
        own = flags
        if CODE_CHANGED in flags and _column(record) not in newer:
            own, unmarked = tuple(flag for flag in flags if flag != CODE_CHANGED), True
        if own:
            record = replace(record, result=replace(record.result, flags=(*record.result.flags, *own)))
        made.append(record)
    return Marked(made, (ALL_BEFORE,) if unmarked else ())


def _column(record: Record) -> tuple[object, ...]:
    e = record.evaluation
    return (e.data, e.task, e.protocol, e.version, e.settings)


def changes(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """A flag for each thing that has changed since; none of stages that were not chosen.

    The version of a protocol is compared with that of its YAML, data with the lock of the suite that a record
    belongs to, or else with those of the newest record of that data set here, code by digest.
    """
    newest: dict[str, Record] = {}
    for record in records:
        other = newest.setdefault(record.evaluation.data, record)
        if record.provenance.utc > other.provenance.utc:
            newest[record.evaluation.data] = record
    known: dict[tuple[object, ...], tuple[str, ...]] = {}
    found: list[tuple[str, ...]] = []
    for record in records:
        if not record.result.selected:
            found.append(())
            continue
        e = record.evaluation
        key = (e.protocol, e.version, e.suite, e.data, id(record.data), record.provenance.scoring)
        if (flags := known.get(key)) is None:
            flags = known[key] = tuple(_changes(record, newest[e.data].data.digests))
        found.append(flags)
    return found


def tell_how_to_redo(records: Sequence[Record], output: Path, folder: Path) -> None:
    """Say how many evaluations are stale, and write the commands that make them again beside their board."""
    stale: dict[str, tuple[Record, tuple[str, ...]]] = {}
    for record, flags in zip(records, changes(records), strict=True):
        if flags:
            stale[record.evaluation.digest] = record, flags
    path = folder / REDO
    if not stale:
        path.unlink(missing_ok=True)
        return
    what = Counter(
        words
        for _, flags in stale.values()
        for flag in flags
        for start, words in STALE.items()
        if flag.startswith(start)
    )
    lines = dict.fromkeys(command(record) for record, _ in stale.values() if not record.subject.blind)
    told = [f"{line} output={shlex.quote(str(output))} redo=true" for line in lines if line]
    write_bytes(path, "".join(f"{line}\n" for line in told).encode())
    counted = ", ".join(f"{words} of {count}" for words, count in what.items())
    untold = sum(not line for line in lines)
    console.print(
        f"{len(stale)} evaluations are stale (changed since: {counted}); {len(told)} commands in {path} make "
        "just these again" + f", {untold} have none that is known" * bool(untold),
        soft_wrap=True,
    )


def _changes(record: Record, newest: Mapping[str, str]) -> Iterator[str]:
    e = record.evaluation
    now = stated().get(e.protocol)
    if now is not None and e.version < now.version:
        yield f"{PROTOCOL_CHANGED}version {e.version}, now {now.version}"
    if why := _other_data(record, newest):
        yield f"{DATA_CHANGED}{why}"
    if now is not None and outdated(record.provenance.scoring, now.module):
        yield CODE_CHANGED


def _other_data(record: Record, newest: Mapping[str, str]) -> str:
    """In what its splits are not those of today, in words; empty where they are."""
    own = record.data.digests
    for lock in frozen.locks():
        if lock.name == record.evaluation.suite.partition(" ")[0]:
            same = any(target.splits == own for target in lock.targets.values())
            return "" if same else f"other splits than {lock.label} has"
    if own == newest:
        return ""
    return f"other splits than those of the newest score on {record.evaluation.data}"
