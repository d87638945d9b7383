"""What addresses an evaluation: a digest of all that determines it, which names its file of records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream.digest import digest
from downstream.judge.provenance import outdated
from downstream.judge.record_files import read
from downstream.judge.records import Record, Subject
from downstream.judge.scoring import precision_of
from downstream.protocol import Judgement, Runtime
from pretext.data.dataset import DataSet
from pretext.identity import identity_of


def evaluation_digest(subject: Subject, protocol: Judgement, data: DataSet, runtime: Runtime) -> str:
    """Digest of all that determines an evaluation; names its file of records."""
    splits = {name: split.digest for name, split in data.splits.items()}
    return _digest_of(subject, data.name, splits, identity_of(protocol), runtime.seed, precision_of(runtime))


def recorded_digest(record: Record, identity: Mapping[str, Any]) -> str:
    """What `evaluation_digest` was where a record was made.

    Args:
        identity: of its protocol, see `pretext.identity`.
    """
    e = record.evaluation
    return _digest_of(record.subject, e.data, record.data.digests, identity, e.draw, e.precision)


def reusable(folder: Path, evaluation: str, judgement: Judgement, runtime: Runtime) -> list[Record]:
    """The stored records of an evaluation, none where they are to be made: see `Runtime.redo`.

    Raises:
        RecordError: as `stored`.
    """
    old = stored(folder, evaluation)
    again = runtime.redo and old and outdated(old[0].provenance.scoring, type(judgement).__module__)
    return [] if again else old


def stored(folder: Path, evaluation: str) -> list[Record]:
    """The records of that evaluation, none if it was not made yet.

    Raises:
        RecordError: its file is there but cannot be trusted.
    """
    path = folder / f"{evaluation}.json"
    return read(path) if path.exists() else []


def _digest_of(
    subject: Subject,
    data: str,
    splits: Mapping[str, str],
    identity: Mapping[str, Any],
    draw: int,
    precision: str,
) -> str:
    return digest(
        {
            "schema": 2,  # of this digest, which the form of the records does not enter
            "run": subject.run,
            "pretext": subject.pretext,
            "calibration": subject.calibration,
            "data": data,
            "splits": dict(splits),
            "protocol": dict(identity),
            "draw": draw,
            "precision": precision,
        }
    )
