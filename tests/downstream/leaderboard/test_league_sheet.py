"""The table of systems that colour: who stands where, differences to full colorization, what is bold."""

from __future__ import annotations

import re

import numpy as np
from made_records import record

from downstream.judge.records import Record
from downstream.leaderboard import Tables, build
from downstream.leaderboard.league import league_sheets

IMAGES = np.random.default_rng(0).normal(0, 0.01, 200)
"""What a resample of the images does to every system."""


def scored(name: str, division: str, auc: float, gap: float, seed: int = 0, own: float = 0.0) -> list[Record]:
    shared = {
        "pretext": name, "recipe": name, "run": f"{name}{seed}", "seed": seed, "budget": division,
        "backbone": "", "task": "colorization", "protocol": "colour_league", "data": "photos", "stage": "",
        "digests": {"train": "a", "val": "b", "test": "c"}, "counts": {"train": 9, "val": 9, "test": 50},
        "selected": True, "chance": None, "flags": (),
    }  # fmt: skip
    noise = np.random.default_rng(len(name)).normal(0, own, 200)

    def drawn(value: float, scale: float) -> tuple[float, ...]:
        return tuple(float(v) for v in value + scale * (IMAGES + noise))

    key = f"{name}{division}{seed}"
    return [
        record(key, metric="auc", primary=True, value=auc, resampled=drawn(auc, 1), **shared),
        record(
            key, metric="colourfulness_gap", primary=False, value=gap, unit="levels", direction="lower",
            range=(0.0, None), resampled=drawn(gap, 100), **shared,
        ),
    ]  # fmt: skip


def table(records: list[Record]) -> dict[str, dict[str, tuple[str, str, bool]]]:
    (sheet,) = league_sheets(records)
    return {
        section.title.split(":")[0]: {
            line.label: (line.cells[0].body, line.cells[0].under, line.cells[0].bold)
            for line in section.lines
        }
        for section in sheet.sections
    }


EVERY = [
    *scored("gray", "automatic", 0.80, 30),
    *scored("colorization", "automatic", 0.84, 10),
    *scored("welsh", "automatic", 0.70, 5),
    *scored("noisy", "automatic", 0.838, 5, own=0.05),
    *scored("truth", "oracle", 1.0, 0),
    *scored("chia", "assisted", 0.9, 8),
]


def test_rows_stand_by_division_and_score() -> None:
    found = table(EVERY)
    assert list(found) == ["automatic", "assisted", "oracle"]
    assert list(found["automatic"]) == ["colorization", "noisy", "gray", "welsh"]
    assert [name for rows in found.values() for name, cell in rows.items() if cell[2]] == ["colorization"], (
        "neither an oracle nor an assisted system is the best"
    )


def test_differences_are_paired_and_say_where_nothing_is_seen() -> None:
    found = table(EVERY)["automatic"]
    assert found["colorization"][1] == ""
    # What images do to both at once is gone from the difference.
    assert found["gray"][1] == "-4.0±0.0"
    assert found["noisy"][1].startswith("-0.2±")
    assert found["noisy"][1].endswith("°")
    half = float(np.subtract(*np.percentile(0.8 + IMAGES, [97.5, 2.5]))) / 2
    up, down = re.findall(r"[+−](\d\.\d)", found["gray"][0])
    assert abs((float(up) + float(down)) / 2 - 100 * half) < 0.25


def test_where_less_is_better_the_least_is_bold_and_the_head_says_so() -> None:
    (sheet,) = league_sheets(EVERY)
    assert sheet.heads[1] == ("colourfulness", "gap levels ↓")
    assert sheet.heads[0] == ("auc", "")
    bold = [line.label for section in sheet.sections for line in section.lines if line.cells[1].bold]
    assert bold in (["welsh"], ["noisy"])


def test_several_seeds_make_one_row_with_their_spread() -> None:
    seeds = [
        r for seed in range(3) for r in scored("colorization", "automatic", 0.84 + 0.01 * seed, 10, seed)
    ]
    other = [r for seed in range(3) for r in scored("gray", "automatic", 0.80, 30, seed)]
    found = table([*seeds, *other])["automatic"]
    assert found["colorization"][0].startswith("85.0±")
    assert float(found["colorization"][0].split("±")[1]) > 1


def test_two_sets_make_two_tables_and_other_records_none() -> None:
    moved = [
        record(r.evaluation.digest + "x", **{"data": "others"} | _fields(r))
        for r in scored("gray", "automatic", 0.8, 3)
    ]
    assert {sheet.name for sheet in league_sheets([*EVERY, *moved])} == {"league_photos", "league_others"}
    assert league_sheets([record("e")]) == []


def _fields(r: Record) -> dict[str, object]:
    e, s = r.evaluation, r.result
    return {
        "task": e.task, "metric": e.metric, "primary": e.primary, "stage": "", "budget": r.subject.budget,
        "pretext": r.subject.pretext, "value": s.value, "resampled": s.resampled, "unit": s.unit,
        "direction": s.direction, "range": s.range,
    }  # fmt: skip


def test_all_tables_of_a_board_hold_the_league_too() -> None:
    tables = Tables(EVERY, build(EVERY), notes=("said aloud",))
    (league,) = [sheet for sheet in tables.sheets if sheet.name == "league_photos"]
    assert league.notes[-1] == "said aloud"
    board = tables.sheets[0]
    assert all("·  ·" not in section.title for section in board.sections)


def test_nothing_is_said_of_differences_where_there_are_none() -> None:
    for records, there in (
        (EVERY, True),
        (EVERY[:2], False),
        (scored("colorization", "automatic", 0.8, 3), False),
    ):
        (sheet,) = league_sheets(records)
        assert any("difference to colorization" in note for note in sheet.notes) == there
