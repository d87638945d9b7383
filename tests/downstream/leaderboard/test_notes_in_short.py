"""A terminal says what must be known and what signs stand for; files and `leaderboard.notes=full` say all."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from made_board import COLUMNS, benchmark, blind, one
from omegaconf import OmegaConf
from rich.console import Console

from downstream.judge.records import Record
from downstream.leaderboard import Tables, View, build
from downstream.leaderboard.captions import cells_of, how_to_read, in_short, legend
from pretextbench import board as boards
from pretextbench.schema import Leaderboard, Notes


def printed(records: list[Record], *, short: bool, view: View | None = None) -> str:
    out = io.StringIO()
    tables = Tables(records, build(records), notes=("Somebody's remark.",), view=view)
    tables.show(Console(file=out, width=400, color_system=None, legacy_windows=False), short=short)
    return out.getvalue()


FLAGGED = [*benchmark(), *blind(), one("jigsaw", *COLUMNS[0], 0, "photos", flags=("at_edge:lr",))]


def test_what_must_be_known_is_there_and_explanations_are_not() -> None:
    short, full = printed(FLAGGED, short=True), printed(FLAGGED, short=False)
    every = "On photos: frozen_classification v1 (mAP), tuned_classification v1 (mAP), "
    assert every in short
    for must in ("Somebody's remark.", "[a] the selected hyper-parameter lies at the end of its grid (lr)."):
        assert must in short
        assert must in full
    for note in (*how_to_read(build(FLAGGED)), *legend(build(FLAGGED))):
        assert note not in short
        assert note in full


@pytest.mark.parametrize(
    ("records", "there", "absent"),
    [
        (benchmark(), "±; n; bold; #; [v]", "[i] ↓ scenes"),
        (benchmark(1), "±; n; bold; [i]", "[v] # ≈ scenes"),
        (benchmark(3, "scenes"), "±; n; scenes", "bold # ≈ [i]"),
        (
            [one("rotation", *COLUMNS[0], s, "photos", direction="lower", range=(0.0, 1.0)) for s in (0, 1)],
            "±; ↓",
            "[i] scenes",
        ),
    ],
)
def test_only_signs_that_are_there_are_told(records: list[Record], there: str, absent: str) -> None:
    board = build(records)
    told = " ".join(in_short(cells_of(board), board, board.columns))
    assert [sign for sign in there.split("; ") if sign not in told] == []
    assert [sign for sign in absent.split() if sign in told] == []


def test_a_view_is_short_too_but_says_what_it_is_of() -> None:
    records = [r for r in benchmark() if r.evaluation.protocol == "frozen_detection"]
    short = printed(records, short=True, view=View(columns=("seed",)))
    assert "On photos: frozen_detection v1 (AP50)." in short
    assert "grid.batch_size" not in short
    assert "says nothing of other seeds" not in short
    assert "says nothing of other seeds" in printed(records, short=False, view=View(columns=("seed",)))


def test_signs_of_a_view_are_those_of_its_own_cells() -> None:
    other = [one("rotation", *COLUMNS[0], seed, "photos", backbone="large") for seed in range(3)]
    records = [*other, *benchmark(), *blind()]
    records = [r for r in records if r.evaluation.protocol == "frozen_classification"]
    assert "gain: mean share" in printed(records, short=True)
    assert "[i] one run" in printed(records, short=True)  # predictors without an encoder
    for short in (True, False):
        view = printed(records, short=short, view=View(columns=("backbone",)))
        assert "since they see no encoder" in view
        scores = view.partition("Gain over the random twin")[0]
        assert "one run" not in scores
        assert "gain: mean share" not in scores


@pytest.mark.parametrize("notes", list(Notes))
def test_the_setting_is_of_the_terminal_and_files_have_all(
    notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(boards, "console", Console(file=out, width=400, color_system=None))
    folder = boards.show_board(tmp_path, FLAGGED, OmegaConf.structured(Leaderboard(notes=notes)))
    (first, *_) = legend(build(FLAGGED))
    assert (first in out.getvalue()) == (notes is Notes.full)
    assert ("leaderboard.notes=full" in out.getvalue()) == (notes is Notes.short)
    for name in ("leaderboard.md", "leaderboard.html"):
        assert first.replace("_", "\\_" if name.endswith("md") else "_") in (folder / name).read_text()
