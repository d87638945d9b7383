"""Which picture of a board is whose."""

from __future__ import annotations

from pathlib import Path

from made_records import record

from downstream.judge.records import picture_path
from pretextbench.board import gather_pictures, pictures_of


def test_evaluations_that_share_all_names_keep_their_pictures(tmp_path: Path) -> None:
    """Two networks, two inputs, two settings, two budgets: one picture each."""
    records = []
    for number, fields in enumerate(
        ({}, {"backbone": "wide"}, {"input": "lab"}, {"settings": "x" * 64}, {"budget": "40 epochs"})
    ):
        digest = f"{number}" * 64
        records.append(record(digest, **fields))
        path = picture_path(tmp_path / "pictures", digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(digest.encode())
    folder = tmp_path / "board"
    assert gather_pictures(pictures_of(tmp_path, records, {}), folder) == 5
    assert {path.read_text() for path in folder.iterdir()} == {f"{n}" * 64 for n in range(5)}
