"""The rows that ship with a suite, beside one's own of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_records import record
from omegaconf import OmegaConf

from downstream.judge.records import Record
from pretextbench import frozen
from pretextbench.board import show_board
from pretextbench.schema import Leaderboard


def shown(records: list[Record], folder: Path, reference: bool) -> str:
    settings = OmegaConf.structured(Leaderboard(reference=reference))
    return (show_board(folder, records, settings) / "leaderboard.md").read_text()


def test_reference_rows_stand_beside_ones_own_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = record("r" * 64, pretext="jigsaw", suite="tiny64 v1")
    monkeypatch.setattr(frozen, "reference", lambda label: (shipped,) if label == "tiny64 v1" else ())
    own, alien = record("o" * 64, suite="tiny64 v1"), record("a" * 64)
    assert "jigsaw" in shown([own], tmp_path, reference=True)
    assert "jigsaw" not in shown([own], tmp_path, reference=False)
    assert "jigsaw" not in shown([alien], tmp_path, reference=True)
