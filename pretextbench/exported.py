"""Records as they are handed on: one file of JSON Lines, their per-example rows beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from downstream.judge import class_names
from downstream.judge.record_files import export_jsonl, rows_path
from downstream.judge.records import Record
from downstream.judge.shared import portable
from pretext.atomic import write_bytes


def export(records: Sequence[Record], path: Path, folders: Iterable[Path]) -> int:
    """Write records for others, without places of this machine; return how many have their rows there.

    Args:
        path: a file of `.jsonl` or `.jsonl.gz`; the rows go into `rows/` beside it, and what classes are
            called into `classes/`.
        folders: of records, in which both lie likewise.
    """
    folders = list(folders)
    export_jsonl(map(portable, records), path)
    at_hand = {
        file.name: file for folder in folders for file in (folder / "rows").glob("*.npz") if file.is_file()
    }
    for named in class_names.files(folders, records).values():
        write_bytes(path.parent / class_names.FOLDER / named.name, named.read_bytes())
    own = [rows_path(path.parent, record.result.rows) for record in records]
    for target in dict.fromkeys(own):
        source = at_hand.get(target.name)
        if source is not None and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return sum(target.name in at_hand for target in own)
