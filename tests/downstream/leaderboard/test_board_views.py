"""Views: the same cells laid out by other fields, each still what the board has, and none mixed of two."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_board import COLUMNS, benchmark, blind, one
from made_records import record

from downstream.judge.records import Record
from downstream.leaderboard import Tables, build, fields
from downstream.leaderboard.board import Verdict
from downstream.leaderboard.latex import latex
from downstream.leaderboard.markdown import markdown
from downstream.leaderboard.sheets import Footnotes, Sheet, score_text
from downstream.leaderboard.terminal import plain_text
from downstream.leaderboard.view_sheets import COMPARED, view_sheets
from downstream.leaderboard.views import BLIND, Laid, View, lay_out

LINEAR = COLUMNS[0]


def laid(records: list[Record], **view: tuple[str, ...]) -> Laid:
    return lay_out(build(records), records, View(**view))


def shown(records: list[Record], **view: tuple[str, ...]) -> Sheet:
    return view_sheets(laid(records, **view))[0]


def bodies(sheet: Sheet) -> dict[str, list[list[str]]]:
    """By section, each line's label and cells."""
    return {
        section.title: [[line.label, *(text.body for text in line.cells)] for line in section.lines]
        for section in sheet.sections
    }


def plain(pretext: str, seed: int, value: float, **told: object) -> Record:
    """A score without resamples, written as it is."""
    data = str(told.pop("data", "photos"))
    return one(pretext, *LINEAR, seed, data, **{"value": value, "resampled": (), **told})


class TestFields:
    def test_a_name_is_of_one_part_or_says_which(self) -> None:
        records = [record()]
        of = {name: fields.field(name, records).of(records[0]) for name in fields.names(records)}
        assert of["pretext"] == "rotation"
        assert of["data"] == "photos"
        assert of["options.pools"] == [1]
        assert of["resolution"] == (64, 64)
        assert (of["images_per_second"], of["pretraining.seconds"], of["seconds"]) == (50.0, 60.0, 1.0)
        assert of["counts.test"] == 3
        assert "precision" not in of
        assert of["subject.precision"] == of["evaluation.precision"] == "float32"
        assert "value" not in of
        with pytest.raises(ValueError, match=r"say subject\.precision or evaluation\.precision"):
            fields.field("precision", records)

    @pytest.mark.parametrize(
        "name", ["bogus", "subject", "cost.pretraining", "pretext.x", "options.x", "value"]
    )
    def test_what_is_no_field_is_told_with_those_there_are(self, name: str) -> None:
        with pytest.raises(ValueError, match=rf"no record has a field '{name}'; fields: pretext, backbone.*"):
            fields.field(name, [record()])

    def test_a_predictor_has_no_network_and_what_is_untrained_no_budget(self) -> None:
        (prior, *_), random = blind(), one("random", *LINEAR, 0, "photos")
        of = {
            name: fields.field(name, [prior, random, record()]) for name in fields.names([random, record()])
        }
        assert {name for name in of if of[name].applies(prior)} == {
            name
            for name in of
            if of[name].path[0] in ("evaluation", "data") and name not in ("stage", "evaluation.precision")
        } | {"pretext"}
        assert {name for name in of if not of[name].applies(random)} == {
            "budget",
            "images_seen",
            *(f"pretraining.{each}" for each in ("images", "views", "flops", "seconds", "device")),
        } & set(of)

    def test_values_stand_in_their_order(self) -> None:
        assert fields.in_order(["conv10", "conv2", "", "b", "conv1"]) == ["b", "conv1", "conv2", "conv10", ""]
        assert fields.in_order([10, 2, None, 2.5]) == [2, 2.5, 10, None]
        assert fields.in_order(["2x", "x2", "10x"]) == ["2x", "10x", "x2"]


class TestLayout:
    def test_columns_are_seeds_and_cells_single_values(self) -> None:
        records = [
            plain(p, s, v) for p, s, v in (("rotation", 0, 0.1), ("rotation", 1, 0.3), ("jigsaw", 1, 0.2))
        ]
        sheet = shown(records, columns=("seed",))
        assert sheet.heads == (("0",), ("1",))
        (lines,) = bodies(sheet).values()
        assert sorted(lines) == [["jigsaw", "–", "20.0"], ["rotation", "10.0", "30.0"]]

    def test_rows_are_data_sets_and_columns_pretext_tasks(self) -> None:
        values = {("rotation", "a"): 0.1, ("rotation", "b"): 0.2, ("jigsaw", "a"): 0.3, ("random", "a"): 0.05}
        sheet = shown(
            [plain(p, 0, v, data=d) for (p, d), v in values.items()], rows=("data",), columns=("pretext",)
        )
        assert sheet.heads == (("n",), ("jigsaw",), ("random",), ("rotation",))
        (lines,) = bodies(sheet).values()
        assert sorted(lines) == [["a", "1", "30.0", "5.0", "10.0"], ["b", "1", "–", "–", "20.0"]]

    def test_columns_of_two_fields_and_sections_of_another(self) -> None:
        records = [
            plain("rotation", 0, value, data=data, backbone=net, recipe=f"r {net}")
            for value, (data, net) in enumerate((d, n) for d in ("a", "b") for n in ("big", "small"))
        ]
        records = [replace(r, result=replace(r.result, value=r.result.value / 10)) for r in records]
        sheet = shown(records, rows=("pretext",), columns=("data", "backbone"))
        assert sheet.heads == (("n",), ("a", "big"), ("a", "small"), ("b", "big"), ("b", "small"))
        assert list(bodies(sheet).values()) == [[["rotation", "1", "0.0", "10.0", "20.0", "30.0"]]]
        assert all("small" not in title and "pretrained on photos" in title for title in bodies(sheet))
        by_net = shown(records, rows=("pretext",), columns=("data",), sections=("backbone",))
        assert bodies(by_net) == {
            "backbone big": [["rotation", "1", "0.0", "20.0"]],
            "backbone small": [["rotation", "1", "10.0", "30.0"]],
        }

    def test_stages_are_all_there_not_only_the_chosen_one(self) -> None:
        records = [
            plain("rotation", 0, value, stage=stage, selected=stage == "conv2")
            for stage, value in (("conv10", 0.1), ("conv2", 0.4), ("conv1", 0.3))
        ]
        sheet = shown(records, columns=("stage",))
        assert sheet.heads == (("n",), ("conv1",), ("conv2",), ("conv10",))
        assert list(bodies(sheet).values()) == [[["rotation", "1", "30.0", "40.0", "10.0"]]]

    def test_twins_keep_a_section_of_their_own_where_nothing_else_names_them(self) -> None:
        records = [plain(p, 0, 0.1, data=d) for p in ("rotation", "random", "supervised") for d in "ab"]
        named = bodies(shown(records, columns=("data",)))
        assert [title.partition(" · ")[0] for title in named] == ["input rgb", "twins"]
        unnamed = bodies(shown(records, rows=("backbone",), columns=("data",)))
        assert [title.partition(" · ")[0] for title in unnamed] == [
            "input rgb",
            "twin random",
            "twin supervised",
        ]
        across = bodies(shown(records, rows=("data",), columns=("pretext",)))
        assert len(across) == 1

    def test_what_took_no_training_stands_beside_every_budget(self) -> None:
        records = [
            plain("rotation", 0, 0.3, budget="4 epochs"),
            plain("rotation", 0, 0.4, budget="8 epochs", recipe="longer"),
            plain("random", 0, 0.1),
        ]
        sheet = shown(records, columns=("budget",))
        assert sheet.heads == (("n",), ("4 epochs",), ("8 epochs",))
        assert [line[1:] for lines in bodies(sheet).values() for line in lines] == [
            ["1", "30.0", "40.0"],
            ["1", "10.0", "10.0"],
        ]

    def test_a_predictor_without_an_encoder_is_left_out_of_columns_that_it_has_no_value_for(self) -> None:
        records = benchmark(1) + blind() + benchmark(1, pretexts=("rotation",), backbone="big", recipe="big")
        records = [r for r in records if r.evaluation.protocol == "frozen_detection"]
        by_net = shown(records, rows=("pretext",), columns=("backbone",))
        assert BLIND not in bodies(by_net)
        assert any("since they see no encoder: label_prior" in note for note in by_net.notes)
        one_net = shown([r for r in records if r.subject.backbone != "big"], columns=("backbone",))
        assert [line[0] for line in bodies(one_net)[BLIND]] == ["label_prior"]
        by_seed = shown(
            [r for r in records if r.evaluation.protocol == "frozen_detection"], columns=("seed",)
        )
        assert bodies(by_seed)[BLIND][0][0] == "label_prior"
        assert by_seed.heads == (("0",),)

    def test_names_are_those_of_the_whole_board(self) -> None:
        """Two recipes of one task, of which each seed has one: the name says which."""
        records = [plain("rotation", seed, 0.1, recipe="1recipe") for seed in (1, 2)]
        records.append(plain("rotation", 1, 0.2, recipe="2recipe"))
        (lines,) = bodies(shown(records, columns=("seed",))).values()
        assert sorted(lines) == [["rotation 1rec", "10.0", "10.0"], ["rotation 2rec", "20.0", "–"]]

    def test_rows_are_in_the_order_of_the_whole_board(self) -> None:
        values = {("rotation", 0): 0.1, ("rotation", 1): 0.9, ("jigsaw", 0): 0.3, ("jigsaw", 1): 0.3}
        (lines,) = bodies(shown([plain(p, s, v) for (p, s), v in values.items()], columns=("seed",))).values()
        assert [line[0] for line in lines] == ["rotation", "jigsaw"]


class TestCells:
    def test_cells_are_those_of_the_board_with_intervals_and_marks(self) -> None:
        records = [
            r for r in benchmark() + benchmark(data="other") if r.evaluation.protocol == "frozen_detection"
        ]
        board = build(records)
        rows = {row.key.pretext: row for group in board.groups for row in group.rows}
        made = laid(records, rows=("data",), columns=("pretext",))
        (lines,) = made.lines.values()
        for column in board.columns:
            for (pretext,), cell in lines[column.data].items():
                truth = rows[pretext].cells[column]
                told = ("interval", "verdict", "best", "second", "ranks", "gain", "seeds")
                assert [getattr(cell, name) for name in told] == [getattr(truth, name) for name in told]
        (cells,) = [line.cells for line in view_sheets(made)[0].sections[0].lines if line.label == "photos"]
        own = {name: row.cells[board.columns[1]] for name, row in rows.items()}
        assert board.columns[1].data == "photos"
        assert {text.body for text in cells[1:]} == {score_text(c, Footnotes()).body for c in own.values()}
        assert sorted(text.under for text in cells if text.under) == ["#1", "#2", "#3"]
        assert [text.bold for text in cells].count(True) == 1
        assert COMPARED in view_sheets(made)[0].notes

    def test_a_seed_alone_has_an_interval_of_images_and_no_marks(self) -> None:
        records = [r for r in benchmark() if r.evaluation.protocol == "frozen_detection"]
        made = laid(records, columns=("seed",))
        assert len(made.boards) == 3
        for rows in made.lines.values():
            for own in rows.values():
                for (seed,), cell in own.items():
                    assert cell.seeds == (seed,)
                    assert cell.interval is not None
                    assert cell.interval.kind.value == "images"
                    assert cell.ranks is None
                    assert cell.verdict in (None, Verdict.TOO_FEW)

    def test_a_gain_is_over_the_twin_of_the_same_seed(self) -> None:
        records = [
            plain(p, s, v, resampled=(v, v))
            for p, s, v in (
                ("rotation", 0, 0.5),
                ("rotation", 1, 0.6),
                ("random", 0, 0.2),
                ("random", 1, 0.5),
            )
        ]
        gains = view_sheets(laid(records, columns=("seed",)))[1]
        (line,) = gains.sections[0].lines
        assert [text.body for text in line.cells] == ["+30.0±0.0", "+10.0±0.0"]

    def test_a_twin_that_is_one_of_several_is_none_in_a_part_either(self) -> None:
        """Of two recipes of random, seed 1 has but one: which is the row's nobody said, so none is."""
        at = [
            ("rotation", 0, 0.5, "r"),
            ("rotation", 1, 0.6, "r"),
            ("random", 0, 0.2, "a"),
            ("random", 1, 0.3, "a"),
        ]
        records = [
            plain(p, s, v, recipe=r, resampled=(v, v)) for p, s, v, r in [*at, ("random", 0, 0.1, "b")]
        ]
        assert len(view_sheets(laid(records, columns=("seed",)))) == 1
        assert len(view_sheets(laid(records[:4], columns=("seed",)))) == 2

    def test_a_row_stands_where_the_board_has_it_also_in_a_part_in_which_it_is_alone(self) -> None:
        """Untrained rows stand beside a budget; in a part without any they stand there still."""
        records = [plain("rotation", 0, 0.5), plain("random", 0, 0.2), plain("random", 1, 0.3)]
        rows = bodies(shown(records, columns=("seed",)))
        assert [(title.count("4 epochs"), lines[0][1:]) for title, lines in rows.items()] == [
            (1, ["50.0", "–"]),
            (1, ["20.0", "30.0"]),
        ]

    def test_marks_that_a_row_has_in_one_group_alone_are_left_out(self) -> None:
        """Untrained rows stand in the groups of every budget; the best of one is not the best of another."""
        free = [plain("kmeans_init", s, 0.5, budget="") for s in range(3)]
        worse = [plain("rotation", s, 0.4, budget="4 epochs") for s in range(3)]
        better = [plain("jigsaw", s, 0.6, budget="8 epochs") for s in range(3)]
        split = laid([*free, *worse, *better], columns=("protocol",))
        best = {
            (section.match and section.match.budget, label): cell.best
            for section, rows in split.lines.items()
            for label, own in rows.items()
            for cell in own.values()
        }
        assert best == {
            ("4 epochs", "kmeans_init"): True, ("4 epochs", "rotation"): False,
            ("8 epochs", "kmeans_init"): False, ("8 epochs", "jigsaw"): True,
        }  # fmt: skip
        joined = laid([*free, *worse, *better], columns=("protocol",), sections=("input",))
        best = {
            label: cell.best
            for rows in joined.lines.values()
            for label, own in rows.items()
            for cell in own.values()
        }
        assert best == {"kmeans_init": False, "rotation": False, "jigsaw": True}

    def test_a_gain_that_a_row_has_not_in_all_its_groups_is_left_out(self) -> None:
        records = [
            plain("kmeans_init", 0, 0.4, resampled=(0.4, 0.4), budget=""),
            plain("random", 0, 0.2, resampled=(0.2, 0.2)),
        ]
        records += [
            plain("supervised", 0, value, resampled=(value, value), budget=budget, recipe=budget)
            for value, budget in ((0.6, "4 epochs"), (0.8, "8 epochs"))
        ]
        of = {
            section.match.budget: cell.gain
            for section, rows in laid(records, columns=("data",)).lines.items()
            if section.match is not None
            for label, own in rows.items()
            if label == "kmeans_init"
            for cell in own.values()
        }
        shares = {budget: gain.share.value for budget, gain in of.items() if gain is not None}
        assert shares == {"4 epochs": pytest.approx(1 / 2), "8 epochs": pytest.approx(1 / 3)}
        joined = laid(records, columns=("data",), sections=("input",), rows=("pretext", "recipe"))
        cells = [own for rows in joined.lines.values() for label, own in rows.items() if "kmeans" in label]
        assert [cell.gain for own in cells for cell in own.values()] == [None]


class TestMeeting:
    @pytest.mark.parametrize(
        ("view", "said"),
        [
            (
                {"columns": ("data",)},
                r"differ in protocol \(frozen_\w+, .*\)\. Make rows, columns or sections",
            ),
            ({"rows": ("backbone",)}, r"3 scores meet in one cell \(row small\) .* differ in pretext \("),
            (
                {"rows": ("data",), "columns": ("metric",)},
                r"differ in pretext \(.*\); protocol \(frozen_\w+, tuned",
            ),
        ],
    )
    def test_two_scores_are_never_averaged(self, view: dict[str, tuple[str, ...]], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            laid(benchmark(1), **view)

    def test_recipes_are_named_where_nothing_else_differs(self) -> None:
        records = [plain("rotation", 0, 0.1), plain("rotation", 0, 0.2, recipe="another")]
        with pytest.raises(ValueError, match=r"differ in recipe \(another, rotation-recipe\)"):
            laid(records, rows=("backbone",))
        (lines,) = laid(records, rows=("backbone", "recipe")).lines.values()
        assert set(lines) == {"small · another", "small · rotation-recipe"}

    def test_pretext_tasks_are_called_as_the_board_calls_them_by_their_recipes_where_it_must(self) -> None:
        records = [plain("rotation", 0, 0.1), plain("rotation", 0, 0.2, recipe="another")]
        records += [plain("random", 0, 0.1), plain("random", 0, 0.2, recipe="else")]
        rows = bodies(shown(records, rows=("pretext",)))
        assert [line[0] for lines in rows.values() for line in lines] == [
            "rotation anot", "rotation rota", "random else", "random rand",
        ]  # fmt: skip
        columns = shown(records, rows=("data",), columns=("pretext",)).heads
        assert columns == (("n",), ("random else",), ("random rand",), ("rotation anot",), ("rotation rota",))
        rotation = [records[0], *records[2:]]
        apart = bodies(shown(rotation, rows=("backbone",)))
        assert [title.partition(" · ")[0] for title in apart] == [
            "input rgb", "twin random else", "twin random rand",
        ]  # fmt: skip

    def test_a_field_stands_once(self) -> None:
        with pytest.raises(ValueError, match=r"evaluation\.data cannot be two of rows, columns and sections"):
            laid(benchmark(1), rows=("data",), columns=("evaluation.data",))


class TestWritten:
    def test_every_format_has_the_view(self, tmp_path: Path) -> None:
        records = [r for r in benchmark() if r.evaluation.protocol == "frozen_detection"]
        tables = Tables(records, build(records), view=View(columns=("seed",)))
        paths = tables.write(tmp_path)
        assert "pretext tasks by seed" in paths.markdown.read_text()
        assert "pretext tasks by seed" in paths.latex.read_text()
        assert "pretext tasks by seed" in paths.text.read_text()
        lines = list(csv.DictReader(io.StringIO(paths.cells.read_text())))
        assert {line["seeds"] for line in lines} == {"0", "1", "2"}
        assert len(lines) == 5 * 3
        assert len(json.loads(paths.cells_json.read_text())) == 5 * 3
        for written in (markdown, latex, plain_text):
            assert "pretext tasks by seed" in written(tables.sheets)

    def test_without_a_view_nothing_changes(self) -> None:
        records = benchmark() + blind()
        board = build(records)
        assert not View()
        assert Tables(records, board, view=View()).sheets == Tables(records, board).sheets

    def test_footnotes_of_a_view_are_those_of_its_cells(self) -> None:
        records = [plain("rotation", s, 0.1 * s, flags=("at_edge:lr",) if s else ()) for s in (0, 1)]
        sheet = shown(records, columns=("seed",))
        (line,) = sheet.sections[0].lines
        assert [text.notes for text in line.cells] == ["", "a"]
        assert any(
            note.startswith("[a] the selected hyper-parameter lies at the end") for note in sheet.notes
        )
