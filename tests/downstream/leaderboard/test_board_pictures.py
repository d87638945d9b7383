"""Which picture of a board is whose."""

from __future__ import annotations

from pathlib import Path

from made_records import record

from downstream.judge.record_files import picture_path
from pretextbench.board import beside, gather_pictures, pictures_of, runs_at_hand


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


def test_a_page_gets_the_pictures_and_curves_of_its_rows_the_first_seeds_first(tmp_path: Path) -> None:
    records = []
    for seed in (2, 0, 1):
        digest, run = f"{seed}" * 64, f"{seed + 5}" * 64
        records.append(record(digest, seed=seed, run=run))
        path = picture_path(tmp_path / "pictures", digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"detections")
        folder = tmp_path / "runs" / f"rotation_{run[:12]}"
        (folder / "samples").mkdir(parents=True)
        for epoch in (1, 10):
            (folder / "samples" / f"epoch_{epoch:03d}.png").write_bytes(b"samples")
        (folder / "history.csv").write_text(f"epoch,train/loss,val/knn\n1,2.0,0.{seed + 1}\n")
        (folder / "result.json").write_text('{"epochs": 1, "images_seen": 100}')
    (tmp_path / "runs" / "rotation_other").mkdir()
    runs = runs_at_hand(tmp_path)
    found = pictures_of(tmp_path, records, runs)
    made = beside(records, found, runs)
    assert [(p.of[0], p.path.name[:9]) for p in made.pictures] == [
        ("0", "000000000"), ("5", "epoch_010"), ("1", "111111111"), ("6", "epoch_010"), ("2", "222222222"),
        ("7", "epoch_010"),
    ]  # fmt: skip
    assert made.pictures[0].caption == "rotation, seed 0: linear on photos"
    assert {run[0]: {c.name: c.points for c in own} for run, own in made.curves.items()} == {
        f"{seed + 5}": {"train/loss": [(100, 2.0)], "val/knn": [(100, (seed + 1) / 10)]} for seed in range(3)
    }
