"""Parquet beside CSV and JSON: the same lines, where pyarrow is installed; said once where it is not."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from made_board import benchmark, blind
from omegaconf import OmegaConf
from rich.console import Console

from downstream.judge.records import Record
from downstream.leaderboard import Tables, build, parquet
from pretextbench import board as boards
from pretextbench.schema import Leaderboard

RECORDS: list[Record] = [*benchmark(), *blind()]


def shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, asked: bool, scores: bool = False
) -> tuple[Path, str]:
    out = io.StringIO()
    monkeypatch.setattr(boards, "console", Console(file=out, width=400, color_system=None, markup=False))
    settings = OmegaConf.structured(Leaderboard(parquet=asked, scores=scores))
    return boards.show_board(folder, RECORDS, settings), out.getvalue()


def test_lines_are_those_of_json(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow, of the extra parquet, is not installed")
    from pyarrow.parquet import read_table

    Tables(RECORDS, build(RECORDS)).write(tmp_path, scores=True, parquet=True)
    cells = read_table(tmp_path / "cells.parquet").to_pylist()
    assert cells == json.loads((tmp_path / "cells.json").read_text())
    assert {type(cell["value"]) for cell in cells} == {float}
    assert {type(cell["best"]) for cell in cells} == {bool}
    scores = read_table(tmp_path / "scores.parquet").to_pylist()
    truth = json.loads((tmp_path / "scores.json").read_text())
    assert [list(line) for line in scores] == [list(line) for line in truth]
    for mine, theirs in zip(scores, truth, strict=True):
        for name, value in theirs.items():
            assert (json.loads(mine[name]) if isinstance(value, dict | list) else mine[name]) == value


def test_it_is_written_where_it_is_asked_for_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow, of the extra parquet, is not installed")
    folder, said = shown(tmp_path, monkeypatch, asked=True, scores=True)
    assert {path.stem for path in folder.glob("*.parquet")} == {"cells", "scores"}
    assert "pyarrow" not in said
    cells, _ = shown(tmp_path, monkeypatch, asked=True)
    assert cells == folder
    assert [path.name for path in folder.glob("*.parquet")] == ["cells.parquet"]
    assert list(folder.glob("scores.*")) == []
    shown(tmp_path, monkeypatch, asked=False)
    assert list(folder.glob("*.parquet")) == []


def test_what_is_missing_is_said_once_and_only_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "can_be_written", lambda: False)
    folder, said = shown(tmp_path, monkeypatch, asked=True)
    assert said.count("pyarrow") == 1
    assert "pretextbench[parquet]" in said
    assert list(folder.glob("*.parquet")) == []
    assert (folder / "cells.json").is_file()
    assert "pyarrow" not in shown(tmp_path, monkeypatch, asked=False)[1]
