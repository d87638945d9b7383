"""What a reader sees: no line too long, nothing hidden, the same in every format."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from made_board import COLUMNS, benchmark, blind, one, without
from rich.cells import cell_len
from rich.console import Console

from downstream.judge.flags import UNDERFITTED
from downstream.judge.records import Record
from downstream.leaderboard import Paths, Tables, cells_frame
from downstream.leaderboard.latex import _label as latex_label
from downstream.leaderboard.latex import _text as latex_text
from downstream.leaderboard.latex import escape, latex
from downstream.leaderboard.sheets import Footnotes, Line, Section, Sheet, Text, sheets
from downstream.leaderboard.tables import build
from downstream.leaderboard.terminal import print_sheet
from downstream.leaderboard.tidy import scores_csv, scores_frame
from downstream.leaderboard.units import percent

NEAR = [
    one("jigsaw", *column, seed, "photos", value=0.5 + 0.01 * i, recipe="j")
    for i, column in enumerate(COLUMNS)
    for seed in range(3)
]
LONG = "a_pretext_task_with_a_very_long_name_indeed"
BOARDS: dict[str, list[Record]] = {
    "one seed": benchmark(1) + blind(),
    "three seeds": benchmark(3) + blind(),
    "missing cells": without(benchmark(3), "colorization", "detection"),
    "scenes": benchmark(1, "scenes") + blind("scenes"),
    "two inputs": benchmark(3) + benchmark(3, input="lightness"),
    "two data sets": benchmark(2) + benchmark(1, "a_data_set_with_a_rather_long_name"),
    "two protocols": benchmark(1) + benchmark(1, settings="t", protocol="k_nearest_neighbours_of_the_mean"),
    "long names": [*benchmark(1), one(LONG, *COLUMNS[0], 0, "photos")],
    "flags": benchmark(1, flags=("at_edge:lr", "head_untrained")) + benchmark(1, "voc", flags=("x",)),
    "stages": [
        one("rotation", *COLUMNS[0], 0, "photos", stage=f"layer{i}", selected=i == 3) for i in range(14)
    ],
    "near": benchmark(3) + NEAR,
}


def shown(records: list[Record], width: int = 80, color: bool = False) -> str:
    out = io.StringIO()
    system = "standard" if color else None
    console = Console(file=out, width=width, force_terminal=color, color_system=system, legacy_windows=False)
    Tables(records, build(records)).show(console)
    return out.getvalue()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Paths]:
    return {
        name: Tables(made, build(made)).write(tmp_path_factory.mktemp("board"))
        for name, made in BOARDS.items()
    }


@pytest.mark.parametrize(
    ("board", "width"), [*((board, 80) for board in BOARDS), ("near", 60), ("two protocols", 200)]
)
def test_no_line_is_longer_than_the_terminal(board: str, width: int) -> None:
    lines = shown(BOARDS[board], width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert not any("…" in line for line in lines)  # nothing was cut


@pytest.mark.parametrize("width", [80, 60, 40])
def test_long_heads_are_folded_and_whole(width: int) -> None:
    network = "VisionTransformer(depth=4, every=1, fixed_positions=True, heads=3)"
    settings = '{"class":"NearestNeighbours","ks":[10,20,50,100,200,500],"pools":[2,3]}'
    heads = (("linear", "SmallNet"), ("knn", network, "lightness"), ("knn", settings))
    name = "colorization_class_l2_fine_tuned"

    def lines(*columns: int) -> list[str]:
        cells = (Text("29.2 +12.5 −3.1"), Text("45.4±1.2", mark="≈", notes="va"), Text("–"))
        line = Line(name, tuple(cells[i] for i in columns))
        sheet = Sheet("view", "Scores", tuple(heads[i] for i in columns), (Section("4 epochs", (line,)),))
        out = io.StringIO()
        print_sheet(sheet, Console(file=out, width=width, color_system=None, legacy_windows=False))
        return out.getvalue().splitlines()

    assert max(map(cell_len, lines(0, 1, 2))) <= width
    for i, head in enumerate(heads):
        alone = lines(i)
        assert max(map(cell_len, alone)) <= width
        above = alone[2 : next(place for place, line in enumerate(alone) if line.startswith("─"))]
        assert "".join("".join(above).split()) == "".join("".join(head).split())


@pytest.mark.parametrize("board", BOARDS)
def test_every_format_shows_every_cell(board: str, written: dict[str, Paths]) -> None:
    paths = written[board]
    assert max(map(cell_len, paths.text.read_text().splitlines())) <= 80
    texts = {
        "text": paths.text.read_text(),
        "markdown": paths.markdown.read_text(),
        "latex": paths.latex.read_text().replace("$\\pm$", "±"),
    }
    bodies = [
        text.body
        for sheet in sheets(build(BOARDS[board]))
        for section in sheet.sections
        for line in section.lines
        for text in line.cells
        if "±" in text.body
    ]
    assert bodies
    for name, text in texts.items():
        for body in set(bodies):
            assert text.count(body) >= bodies.count(body), f"{body} in {name}"


@pytest.mark.parametrize("board", BOARDS)
def test_markdown_rows_have_as_many_cells_as_their_head(board: str, written: dict[str, Paths]) -> None:
    page = written[board].markdown.read_text()
    for table in re.split(r"\n(?!\|)", page):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(counts) <= 1


@pytest.mark.parametrize("board", BOARDS)
def test_latex_is_that_of_pandas(board: str) -> None:
    for sheet in sheets(build(BOARDS[board])):
        lines = [
            (escape(part.title), latex_label(line), line) for part in sheet.sections for line in part.lines
        ]
        heads = [" ".join(map(escape, head)) for head in sheet.heads]
        frame = pd.DataFrame(
            [[latex_text(text) for text in line.cells] for *_, line in lines],
            pd.MultiIndex.from_tuples([(title, label) for title, label, _ in lines]),
            heads,
        )
        layout = "ll" + "r" * len(heads)
        expected = frame.style.to_latex(hrules=True, column_format=layout, clines="skip-last;data")
        assert expected in latex([sheet])


@pytest.mark.parametrize("board", BOARDS)
def test_csv_is_that_of_pandas(board: str, written: dict[str, Paths]) -> None:
    records = BOARDS[board]
    frames = {
        written[board].cells.read_text(): cells_frame(build(records)),
        scores_csv(records): scores_frame(records),
    }
    for text, frame in frames.items():
        assert text == frame.to_csv(index=False, lineterminator="\n")


def test_csv_says_of_each_record_what_it_holds() -> None:
    """Parts that records share are written down once, those that only look alike are not mixed up."""
    shared = one("rotation", *COLUMNS[0], 0, "photos")
    odd = replace(shared, evaluation=replace(shared.evaluation, options={"a": 'x,"y"\n'}))
    alike = replace(shared, evaluation=replace(shared.evaluation, options={"b": [1, 2.5, None]}))
    made = [shared, odd, alike, shared, replace(shared, result=replace(shared.result, value=0.125))]
    lines = list(csv.DictReader(io.StringIO(scores_csv(made), newline="")))
    assert [json.loads(line["evaluation.options"]) for line in lines] == [r.evaluation.options for r in made]
    assert [float(line["result.value"]) for line in lines] == [r.result.value for r in made]
    assert [line["subject.pretext"] for line in lines] == ["rotation"] * 5
    assert {line["result.val"] for line in lines} == {str(shared.result.val)}


def test_one_seed_says_what_its_interval_is_over() -> None:
    page = shown(BOARDS["one seed"])
    assert re.search(r"colorization +1 .*±\d\.\dⁱ", page)
    assert "[i] one run: the interval is over test images only" in page
    assert "too few runs to say" in page
    assert "≈" not in page


def test_three_seeds_name_their_degrees_of_freedom_and_mark_what_is_not_separated() -> None:
    page = shown(BOARDS["near"])
    assert re.search(r"colorization +3 .*±\d\.\d(?!ⁱ)", page)
    assert "df 12" in page  # 6 rows of 3 seeds
    assert "≈ not separated from best" in page
    assert re.search(r"(jigsaw|colorization).*\d≈", page)


def test_every_format_shows_the_ranks_a_row_may_have(written: dict[str, Paths]) -> None:
    paths = written["near"]
    assert re.search(r"^ +#1–2 +#1–2", paths.text.read_text(), re.MULTILINE)
    assert re.search(r"±\d\.\d≈<br>#1–2 \|", paths.markdown.read_text())
    assert r"(\#1--2)" in paths.latex.read_text()
    assert "#: the ranks a row may have" in paths.text.read_text().replace("\n", " ")
    assert "#" not in written["one seed"].text.read_text()


def test_a_row_with_a_variance_of_its_own_says_so() -> None:
    apart = [one("jigsaw", *COLUMNS[0], s, "photos", value=0.3 + 0.2 * s, recipe="j") for s in range(3)]
    page = shown([r for r in benchmark(3) if r.evaluation.protocol == "frozen_classification"] + apart)
    assert re.search(r"jigsaw +3 .*±\d+\.\d≈?ᵛ", page)
    assert "[v] the variance between seeds is the row's own" in page
    assert "df 10 (1 rows of larger variance left out)" in page
    frame = cells_frame(build(apart))
    assert set(frame.between) == {"own"}


def test_missing_cells_and_rows_that_are_not_ranked() -> None:
    page = shown(BOARDS["missing cells"])
    assert "4/6, not ranked" in page
    assert "–" in page
    assert "4/6, not ranked" in "".join(
        line for line in page.splitlines() if "not ranked" in line and "Rows" not in line
    )


def test_the_best_is_bold_in_every_format(written: dict[str, Paths]) -> None:
    paths = written["three seeds"]
    cell = build(BOARDS["three seeds"]).groups[0].rows[0]
    first = next(iter(cell.cells.values()))
    assert cell.label == "colorization"
    value = percent(first.value)
    assert f"**{value}±" in paths.markdown.read_text()
    assert f"\\textbf{{{value}$\\pm$" in paths.latex.read_text()
    assert re.search(rf"\x1b\[1;32m *{value}±", shown(BOARDS["three seeds"], color=True))


def test_scenes_say_that_they_never_rank(written: dict[str, Paths]) -> None:
    page = shown(BOARDS["scenes"])
    assert "They never rank pretext tasks" in page
    assert "rank  gain" not in page
    markdown = written["scenes"].markdown.read_text()
    assert "**" not in markdown
    assert "never rank" not in shown(BOARDS["three seeds"])


def test_inputs_are_apart_and_the_view_across_them_is_marked() -> None:
    page = shown(BOARDS["two inputs"])
    assert "input lightness · small" in page
    assert "NOT MATCHED: across input spaces" in page
    across = page[page.index("NOT MATCHED") :]
    assert re.search(r"^lightness +\d", across, re.MULTILINE)
    assert "NOT MATCHED" not in shown(BOARDS["three seeds"])


def test_versions_of_one_protocol_stand_apart_and_that_is_said() -> None:
    mixed = benchmark(1) + benchmark(1, version=2, recipe="r")
    page = " ".join(shown(mixed).split())
    said = "is there in versions 1 and 2: a column each, whose scores are not compared."
    assert f"frozen_classification on photos {said}" in page
    assert len(build(mixed).columns) == 12
    assert "is there in versions" not in shown(benchmark(1))


def test_flags_of_any_text_become_footnotes() -> None:
    footnotes = Footnotes()
    odd = ["# of 3", "# of 7", "9" * 5000, "٣"]
    assert footnotes.of(dict.fromkeys(odd, 1.0)) == "abc"
    assert footnotes.notes()[0] == "[a] # of 3 to 7."


def test_flags_become_footnotes() -> None:
    page = shown(BOARDS["flags"])
    assert "ⁱᵃᵇ" in page
    assert "[a] the selected hyper-parameter lies at the end of its grid (lr)." in page
    assert "[b] the head's train score is not above chance." in page
    assert "[c] x." in page


def test_flags_that_differ_in_a_count_share_a_footnote() -> None:
    footnotes = Footnotes()
    letters = [
        footnotes.of(dict.fromkeys(flags, 1.0))
        for flags in (
            ["at_edge:C for 129 of 200 classes"],
            ["at_edge:C for 76 of 200 classes", "at_edge:lr"],
            ["at_edge:C for 93 of 200 classes"],
            ["at_edge:C for 1 of 8 k"],
        )
    ]
    assert letters == ["a", "ab", "a", "c"]
    assert footnotes.of({f"{UNDERFITTED}trained for 48 steps": 1.0}) == "d"
    assert footnotes.of({f"{UNDERFITTED}trained for 32 steps": 1.0}) == "d"
    assert footnotes.notes().pop().endswith("(trained for 32 to 48 steps).")
    footnotes.letters.popitem()
    edge = "the selected hyper-parameter lies at the end of its grid"
    assert footnotes.notes() == [
        f"[a] {edge} (C for 76 to 129 of 200 classes).",
        f"[b] {edge} (lr).",
        f"[c] {edge} (C for 1 of 8 k).",
    ]


def test_what_is_true_of_some_runs_is_said_of_some() -> None:
    footnotes = Footnotes()
    assert footnotes.of({"at_edge:lr": 1.0, "diverged:1 of 4": 0.5, "diverged:2 of 4": 0.5}) == "ab"
    assert footnotes.notes()[-1].startswith("[b]")
    assert footnotes.of({"at_edge:lr": 1 / 3, "diverged:1 of 4": 2 / 3}) == "a'b'"
    assert footnotes.notes()[-1] == "[a'] of some of a row's runs, not of all."


def test_an_interval_without_width_has_a_footnote() -> None:
    flat = one("rotation", *COLUMNS[0], 0, "photos", value=1.0, resampled=(1.0,) * 20)
    page = shown([flat])
    assert "100.0±0.0ⁱᵃ" in page
    assert "no bootstrap resample differs" in page


def test_stage_curves_are_in_the_files(written: dict[str, Paths]) -> None:
    paths = written["stages"]
    assert "Stages: photos" in paths.text.read_text()
    assert "**" in paths.markdown.read_text().split("## Stages")[1]
    assert "Stages:" not in shown(BOARDS["stages"])


def test_files_depend_on_the_records_alone(tmp_path: Path) -> None:
    records = BOARDS["near"]
    first = Tables(records, build(records)).write(tmp_path / "a")
    second = Tables(records[::-1], build(records[::-1])).write(tmp_path / "b")
    for one_path, other in zip(first, second, strict=True):
        assert one_path.read_bytes() == other.read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "cells.csv", "cells.json", "leaderboard.html", "leaderboard.md", "leaderboard.tex", "leaderboard.txt",
    ]  # fmt: skip
    with first.cells.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 6 * 6


def test_latex_is_escaped_and_ruled(written: dict[str, Paths]) -> None:
    assert escape("a_b & 5 % ± {x} ≈") == r"a\_b \& 5 \% $\pm$ \{x\} $\approx$"
    page = written["three seeds"].latex.read_text()
    for rule in ("\\toprule", "\\midrule", "\\bottomrule"):
        assert page.count(rule) == page.count("\\begin{tabular}") == 2
    assert not re.search(r"(?<!\\)_|[±≈·≥]", page)
    assert page.count("{") == page.count("}")


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "50.0"), (-0.0001, "0.0"), (-0.0123, "-1.2"), (1.0, "100.0")]
)
def test_percent(value: float, text: str) -> None:
    assert percent(value) == text
