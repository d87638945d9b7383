"""Published numbers: a table that holds together, and is never taken for measurements."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_board import COLUMNS, benchmark, blind, one
from omegaconf import OmegaConf
from rich.cells import cell_len
from rich.console import Console

from downstream.judge.records import Record
from downstream.leaderboard import Tables, beside, build, read_published
from downstream.leaderboard.published import DATA, EXTERNAL, Published, published_csv, published_sheets
from downstream.leaderboard.sheets import sheets
from pretextbench import board as boards
from pretextbench.schema import Leaderboard

CONF = Path(__file__).parents[3] / "conf"
ROWS = read_published()
MARK = "NOT MEASURED HERE"


def tables(records: list[Record], published: tuple[Published, ...] = ()) -> Tables:
    return Tables(records, build(records), published)


def on_imagenet(protocol: str = "linear", metric: str = "top1") -> list[Record]:
    made = [one(p, *COLUMNS[0], 0, "imagenet", protocol=protocol) for p in ("rotation", "random")]
    return [replace(r, evaluation=replace(r.evaluation, metric=metric)) for r in made]


class TestTable:
    def test_every_protocol_is_the_suites_or_said_not_to_be(self) -> None:
        known = {path.stem for path in (CONF / "downstream").glob("*.yaml")}
        for row in ROWS:
            assert row.protocol.startswith(EXTERNAL) or row.protocol in known, row
            own = row.protocol.removeprefix(EXTERNAL)
            assert row.protocol == own or own not in known, (
                f"the suite has {own} now: drop {EXTERNAL!r} in published.csv where the row is of it"
            )

    def test_every_row_says_where_it_is_from(self) -> None:
        for row in ROWS:
            assert re.fullmatch(r"arXiv:\d{4}\.\d{5}|[\w-]+/[\w-]+", row.source), row
            assert 0 <= float(row.value) <= 100
            assert row.checked in ("read", "remembered")
        assert "shared" not in DATA.read_text()

    def test_nothing_is_there_twice(self) -> None:
        keys = Counter(row._replace(value="", spread="", runs="", checked="") for row in ROWS)
        assert [key for key, count in keys.items() if count > 1] == []

    def test_known_values(self) -> None:
        """Copied again from the sources' tables."""

        def values(method: str, **wanted: str) -> list[float]:
            return [
                float(row.value)
                for row in ROWS
                if row.method == method and all(getattr(row, k) == v for k, v in wanted.items())
            ]

        split_brain = {"source": "arXiv:1611.09842", "data": "imagenet"}
        assert values("colorization", **split_brain) == [13.1, 24.8, 31.0, 32.6, 31.8]
        assert values("split_brain", **split_brain) == [17.7, 29.3, 35.4, 35.2, 32.8]
        assert values("supervised", data="places205") == [22.7, 34.8, 38.4, 39.4, 38.7]
        assert values("dino", source="arXiv:2104.14294") == [67.5, 75.3]
        assert values("colorization", metric="AuC") == [89.5]
        assert values("mae", data="imagenet") == [83.57, 67.8]

    def test_random_never_beats_labels(self) -> None:
        by_column: dict[object, dict[str, float]] = {}
        for row in ROWS:
            if row.method in ("random", "supervised"):
                column = row._replace(method="", value="", pretraining="", checked="", spread="")
                by_column.setdefault(column, {})[row.method] = float(row.value)
        pairs = [pair for pair in by_column.values() if len(pair) == 2]
        assert len(pairs) >= 10
        assert all(pair["random"] < pair["supervised"] for pair in pairs)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("67.5,0.1,5,", "67.5,0.1,five,"), "line .*: runs 'five' is not a number of runs"),
            (("67.5,0.1,5,", "675,0.1,5,"), "line .*: value '675' is not a number of percent"),
            (("67.5,0.1,5,", "nan,0.1,5,"), "value 'nan' is not a number of percent"),
            (("67.5,0.1,5,arXiv:2003.04297", "67.5,0.1,5,"), "line .*: source is empty"),
            (("arXiv:2003.04297,read", "arXiv:2003.04297,believed"), "read or remembered; it is 'believed'"),
            (("data,task,protocol", "set,task,protocol"), "the columns must be data, task, protocol"),
        ],
    )
    def test_a_table_that_does_not_hold_together(
        self, change: tuple[str, str], message: str, tmp_path: Path
    ) -> None:
        text = DATA.read_text()
        assert change[0] in text
        (tmp_path / "published.csv").write_text(text.replace(*change, 1))
        with pytest.raises(ValueError, match=message):
            read_published(tmp_path / "published.csv")


class TestShown:
    def shown(self, records: list[Record], published: tuple[Published, ...], width: int = 80) -> str:
        out = io.StringIO()
        tables(records, published).show(
            Console(file=out, width=width, color_system=None, legacy_windows=False)
        )
        return out.getvalue()

    def test_every_number_is_shown_once_under_its_mark(self) -> None:
        made = published_sheets(build(on_imagenet()).columns, ROWS)
        assert all(MARK in sheet.title for sheet in made)
        bodies = Counter(
            text.body
            for sheet in made
            for section in sheet.sections
            for line in section.lines
            for text in line.cells
            if text.body != "–"
        )
        assert bodies == Counter(row.value + (f"±{row.spread}" if row.spread else "") for row in ROWS)

    def test_the_page_is_as_wide_as_the_terminal(self) -> None:
        page = self.shown(on_imagenet(), ROWS)
        assert max(map(cell_len, page.splitlines())) <= 80
        assert "…" not in page

    def test_only_the_data_sets_of_the_table(self) -> None:
        board = build(on_imagenet() + blind("cifar10"))
        found = beside(board, ROWS)
        assert {(row.data, row.task) for row in found} == {
            ("imagenet", "classification"), ("cifar10", "classification"),
        }  # fmt: skip
        assert len(found) == sum(
            row.data in ("imagenet", "cifar10") and row.task == "classification" for row in ROWS
        )
        assert beside(build(benchmark(1)), ROWS) == ()

    def test_the_same_protocol_is_pointed_out(self) -> None:
        knn = tuple(row for row in ROWS if row.data == "imagenet" and row.protocol == "knn")
        assert "The protocol of column (1)" in self.shown(on_imagenet("knn"), knn)
        assert "The protocol of column" not in self.shown(on_imagenet("knn", metric="top5"), knn)
        assert "The protocol of column" not in self.shown(on_imagenet("linear"), knn)
        mae = tuple(row for row in ROWS if row.protocol == "external:mae_linear")
        page = self.shown(on_imagenet("linear"), mae)
        assert "Not a protocol of this suite" in page
        assert "67.8" in page
        assert "± over 4 runs" in self.shown(on_imagenet(), ROWS)

    def test_what_was_remembered_is_marked(self) -> None:
        colours = tuple(row for row in ROWS if row.protocol == "external:zhang16_colours")
        page = self.shown(on_imagenet(), colours)
        assert re.search(r"gray +89\.1ʳ +58\.0ʳ +52\.7 +–", page)
        assert re.search(r"colorization +89\.5ʳ +67\.3ʳ +56\.0 +32\.3±2\.2", page)
        assert "[r] remembered" in page

    def test_measured_tables_stay_what_they_are(self, tmp_path: Path) -> None:
        records = on_imagenet() + blind("imagenet")
        plain = tables(records).write(tmp_path / "plain", scores=True)
        both = tables(records, ROWS).write(tmp_path / "both", scores=True)
        for name in ("cells.csv", "scores.csv"):
            assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "both" / name).read_bytes()
        for name in ("markdown", "latex", "text"):
            alone, beside_it = getattr(plain, name).read_text(), getattr(both, name).read_text()
            assert beside_it.startswith(alone.rstrip("\n"))
            rest = beside_it[len(alone.rstrip("\n")) :]
            assert rest.count(MARK) == len(published_sheets(build(records).columns, ROWS))
            assert MARK not in alone
            assert rest.index(MARK) < rest.index("49.54")
        with (tmp_path / "both" / "published.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert len(lines) == len(ROWS)
        assert {line["measured_here"] for line in lines} == {"False"}
        assert not (tmp_path / "plain" / "published.csv").exists()
        tables(records).write(tmp_path / "both")
        assert not (tmp_path / "both" / "published.csv").exists()
        assert [sheet.name for sheet in sheets(build(records)) if MARK in sheet.title] == []

    def test_markdown_and_latex_are_well_formed(self, tmp_path: Path) -> None:
        paths = tables(on_imagenet(), ROWS).write(tmp_path)
        for table in re.split(r"\n(?!\|)", paths.markdown.read_text()):
            rows = [line for line in table.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) <= 1
        page = paths.latex.read_text()
        assert page.count("{") == page.count("}")
        assert page.isascii()


@pytest.mark.parametrize(
    ("published", "everywhere", "data", "said"),
    [
        (True, False, "imagenet", "PUBLISHED, NOT MEASURED HERE: imagenet · classification · zhang16_linear"),
        (True, False, "scenes", "No published number is known on these data sets"),
        (False, True, "scenes", "PUBLISHED, NOT MEASURED HERE: vtab_1k"),
    ],
)
def test_settings_of_the_job(
    published: bool, everywhere: bool, data: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(boards, "console", Console(file=out, width=200, color_system=None))
    records = [one("rotation", *COLUMNS[0], 0, data)]
    settings = OmegaConf.structured(Leaderboard(published=published, published_everywhere=everywhere))
    boards.show_board(tmp_path, records, settings)
    assert said in out.getvalue()
    folder = boards.show_board(tmp_path, records, OmegaConf.structured(Leaderboard))
    assert MARK not in (folder / "leaderboard.md").read_text()


def test_a_board_is_built_once_and_so_are_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()
    for module, name in ((boards.leaderboard, "build"), (boards.leaderboard, "sheets")):
        plain = getattr(module, name)

        def counted(*args: Any, plain: Any = plain, name: str = name) -> Any:
            made[name] += 1
            return plain(*args)

        monkeypatch.setattr(module, name, counted)
    settings = OmegaConf.structured(Leaderboard(published=True))
    boards.show_board(tmp_path, on_imagenet(), settings)
    assert made == {"build": 1, "sheets": 1}


@pytest.mark.parametrize(
    ("where", "kept", "left_out"),
    [
        ({"protocol": ["knn"]}, lambda row: row.protocol == "knn", ""),
        (
            {"protocol": ["knn", "linear"], "pretext": ["rotation"]},
            lambda row: row.protocol == "knn" and row.method == "rotation",
            "",
        ),
        ({"evaluation.metric": ["top1"]}, lambda row: row.metric == "top1", ""),
        ({"backbone": ["small"]}, lambda row: False, ""),
        ({"seed": [0]}, lambda row: False, "say no seed, by which records were chosen: {every}."),
        (
            {"stage": ["conv3"]},
            lambda row: row.stage == "conv3",
            "say no stage, by which records were chosen",
        ),
    ],
)
def test_a_choice_of_records_is_one_of_published_numbers_too(
    where: dict[str, list[Any]], kept: Callable[[Published], bool], left_out: str, tmp_path: Path
) -> None:
    records = [
        replace(r, evaluation=replace(r.evaluation, digest=r.evaluation.digest + protocol))
        for protocol in ("linear", "knn")
        for r in on_imagenet(protocol)
    ]
    there = beside(build(records), ROWS)
    shown = OmegaConf.structured(Leaderboard(published=True, where=where))
    folder = boards.show_board(tmp_path, records, shown)
    expected = tuple(row for row in there if kept(row))
    file = folder / "published.csv"
    assert (file.read_text() if file.is_file() else "") == (published_csv(expected) if expected else "")
    text = (folder / "leaderboard.md").read_text()
    assert left_out.format(every=len(there)) in text
    assert ("Published numbers left out" in text) == bool(left_out)
