"""The page of a board: what is in it is what the board says, and no name leaves its place in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_board import benchmark, blind, one
from made_records import record

from downstream.judge.records import Record
from downstream.leaderboard import Beside, Tables, View, build, read_published
from downstream.leaderboard.page import Curve, Picture, page
from downstream.leaderboard.page.document import FOLDER, escaped
from downstream.leaderboard.page.pictures import PNG, pictures_data

HOSTILE = (
    "</script><script>window.taken=1</script>",
    "<img src=x onerror=window.taken=1>",
    "<!--<script>",
    "{{ style }} {{ data }}",
    "\x1b[31mred\x1b]8;;http://x\x07",
    "a\u2028b\u2029c",
    "\u202egnihton",
    "'\"&amp;`${1}",
)


class Elements(HTMLParser):
    """The elements of a page: name, attributes, and the text that they begin with."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.inside = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1][2].append(data)

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for name, attributes, text in self.found if name == tag]


def page_of(records: list[Record], beside: Beside | None = None) -> str:
    return page([Tables(records, build(records)).part("title", "text", "command")], beside).decode()


def data_of(html: str) -> Any:
    (text,) = [text for attributes, text in Elements(html).of("script") if attributes.get("id") == "data"]
    return json.loads(text)


def test_cells_are_those_of_the_board() -> None:
    records = benchmark() + blind()
    board = build(records)
    made = data_of(page_of(records))["boards"][0]
    assert [made[key] for key in ("title", "text", "command")] == ["title", "text", "command"]
    rows = [row for group in board.groups for row in group.rows] + list(board.blind)
    assert [row["label"] for row in made["rows"]] == [row.label for row in rows]
    assert [row["kind"] for row in made["rows"]] == ["pretext"] * 3 + ["twin"] * 2 + ["blind"]
    for row, own in zip(rows, made["rows"], strict=True):
        assert own["gain"] == (None if row.gain is None else pytest.approx(row.gain, rel=1e-5))
        assert [cell["column"] for cell in own["cells"]] == list(range(6))
        for column, cell in zip(board.columns, own["cells"], strict=True):
            truth = row.cells[column]
            assert truth.interval is not None
            assert cell["value"] == pytest.approx(truth.value, rel=1e-5)
            assert [cell["low"], cell["high"]] == pytest.approx(
                [truth.interval.low, truth.interval.high], 1e-4
            )
            assert cell["over"] == truth.interval.kind.value
            value, low, high = (100 * v for v in (truth.value, truth.interval.low, truth.interval.high))
            assert cell["text"] in (
                f"{value:.1f}±{(high - low) / 2:.1f}",
                f"{value:.1f} +{high - value:.1f} −{value - low:.1f}",
            )
            assert cell.get("best", False) == truth.best
            if truth.gain is not None and truth.gain.over_random is not None:
                assert cell["over_random"] == pytest.approx(truth.gain.over_random, rel=1e-4)


def test_a_score_of_zero_is_shown() -> None:
    records = [
        one("rotation", "classification", "frozen", "mAP", 0, "photos", value=0.0, resampled=(0.0, 0.0))
    ]
    (cell,) = data_of(page_of(records))["boards"][0]["rows"][0]["cells"]
    assert (cell["value"], cell["low"], cell["high"]) == (0, 0, 0)


def test_the_newest_of_a_row_column_seed_and_draw_is_behind_a_row() -> None:
    old = record("old", value=0.1, utc="2026-01-01T00:00:00Z")
    new = record("new", value=0.2, utc="2026-01-02T00:00:00Z")
    draw = record("draw", value=0.4, draw=1, utc="2026-01-01T00:00:00Z")
    stage = record("new", value=0.9, stage="conv5", selected=False, utc="2026-01-03T00:00:00Z")
    for records in ([old, new, draw, stage], [stage, draw, new, old]):
        made = data_of(page_of(records))
        evaluations = made["boards"][0]["behind"][0]["evaluations"]
        assert [(e["draw"], e["value"]) for e in evaluations] == [(0, 0.2), (1, 0.4)]
        assert [made["origins"][e["origin"]]["evaluation"] for e in evaluations] == ["new", "draw"]


def test_metrics_beside_the_shown_one_stand_by_their_column_and_evaluation() -> None:
    records = [
        record("a", value=0.5),
        record("a", value=0.25, metric="AP_1", primary=False),
        record(
            "a", value=7.0, metric="seconds", primary=False, unit="s", direction="lower", range=(0.0, None)
        ),
        record("b", value=0.6, seed=1, run="other"),
        record("b", value=0.35, metric="AP_1", primary=False, seed=1, run="other"),
    ]
    board = data_of(page_of(records))["boards"][0]
    assert board["columns"][0]["beside"] == [
        {"metric": "AP_1", "unit": "fraction", "lower": False},
        {"metric": "seconds", "unit": "s", "lower": True},
    ]
    assert [e["beside"] for e in board["behind"][0]["evaluations"]] == [[0.25, 7.0], [0.35, None]]


def test_a_predictor_without_an_encoder_is_behind_every_precision() -> None:
    records = [
        *(one("rotation", "classification", "frozen", "mAP", 0, "photos", precision=p) for p in ("a", "b"))
    ]
    records += [one("blind:label_prior", "classification", "frozen", "mAP", 0, "photos")]
    board = data_of(page_of(records))["boards"][0]
    assert len(board["columns"]) == 2
    (row,) = [row for row in board["rows"] if row["kind"] == "blind"]
    assert [e["column"] for e in board["behind"][row["behind"]]["evaluations"]] == [0, 1]


def test_a_configuration_that_many_have_is_there_once_and_comes_out_whole() -> None:
    config = {"pretext": {"name": "rotation", "list": [1, None, {"a": "b"}]}, "seed": 0}
    records = [
        record(f"e{seed}", seed=seed, run=f"run{seed}", config={**config, "seed": seed}) for seed in range(3)
    ]
    made = data_of(page_of(records))
    for seed, origin in enumerate(made["origins"]):
        back = {key: made["values"][place] for key, place in origin["config"].items()}
        assert back == {**config, "seed": seed}
    assert made["values"].count(config["pretext"]) == 1


def test_stages_and_effort_are_told() -> None:
    records = [
        record("a", stage="conv3", value=0.5),
        record("a", stage="conv4", value=0.4, selected=False),
        record("b", stage="conv3", value=0.7, seed=1, run="other"),
    ]
    board = data_of(page_of(records))["boards"][0]
    (curves,) = board["stages"]
    assert curves["rows"] == [{"behind": 0, "scores": [["conv3", 0.6], ["conv4", 0.4]]}]
    assert board["behind"][0]["effort"] == {
        "images": 1000, "views": 2000, "flops": None, "seconds": 60, "device": "cpu",
    }  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_its_place(name: str) -> None:
    """The same elements as with harmless names, and the name comes out of the data as it went in."""
    fields = dict.fromkeys(
        ("pretext", "backbone", "input", "data", "protocol", "metric", "stage", "budget"), name
    )
    bad = [record("e", **fields, config={name: {name: name}}, commit=name, flags=(name,), device=name)]
    good = [
        record("e", **dict.fromkeys(fields, "name"), config={"k": {}}, commit="c", flags=("f",), device="d")
    ]
    curves = {"run": [Curve(name, [(0.0, 1.0)])]}
    html = page_of(bad, Beside(curves, left=name, command=lambda _: name))
    harmless = page_of(good, Beside({}, left="left", command=lambda _: "command"))
    assert [e[:2] for e in Elements(html).found] == [e[:2] for e in Elements(harmless).found]
    inside = html.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert not re.search("[<>&\u2028\u2029\x00-\x1f]", inside)
    made = data_of(html)
    board = made["boards"][0]
    assert board["rows"][0]["label"] == name
    assert {board["columns"][0][key] for key in ("data", "protocol", "metric")} == {name}
    assert made["origins"][0]["commit"] == made["origins"][0]["command"] == name
    assert made["curves"]["run"][0]["name"] == name


def test_json_is_the_same_json_when_it_is_escaped() -> None:
    value = ["<>&\u2028\u2029", "</script", {"<": "&"}]
    written = json.dumps(value, ensure_ascii=False).encode()
    assert json.loads(escaped(written)) == value
    assert not set(escaped(written)) & set(b"<>&")


def test_the_policy_lets_these_scripts_run_and_no_other_and_nothing_be_fetched() -> None:
    elements = Elements(page_of(benchmark(seeds=1)))
    (policy,) = [
        a["content"] for a, _ in elements.of("meta") if a.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    scripts = [text for attributes, text in elements.of("script") if "type" not in attributes]
    assert len(scripts) == 3
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert rules["script-src"].split() == [f"'sha256-{each}'" for each in hashes]
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}


def test_it_refers_to_nothing_outside() -> None:
    elements = Elements(page_of(benchmark(seeds=1)))
    for _, attributes, _ in elements.found:
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith(("#", "data:,"))  # type: ignore[union-attr]
    (style,) = elements.of("style")
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_own_scripts_put_text_in_their_place_as_text() -> None:
    for path in FOLDER.glob("*.js"):
        text = path.read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path
        assert path.name in (FOLDER / "document.py").read_text()


def test_the_libraries_come_with_their_terms() -> None:
    licences = (FOLDER / "vendor" / "LICENSES.txt").read_text()
    for path in (FOLDER / "vendor").glob("*.js"):
        (name, version) = re.match(r"// (?:https://)?(\S+) v([\d.]+)", path.read_text()).groups()  # type: ignore[union-attr]
        named = {"d3js.org": "d3"}.get(name, name)
        assert f"{named} {version} (ISC)" in licences
    assert "Copyright 2010-2026 Mike Bostock" in licences
    assert "THE SOFTWARE IS PROVIDED" in page_of(benchmark(seeds=1))


def picture(folder: Path, name: str, size: int, beginning: bytes = PNG) -> Picture:
    path = folder / name
    path.write_bytes(beginning + b"x" * (size - len(beginning)))
    return Picture(name, f"caption of {name}", path)


def test_pictures_are_put_in_while_there_is_room(tmp_path: Path) -> None:
    pictures = [
        picture(tmp_path, "first", 30),
        picture(tmp_path, "large", 60),
        picture(tmp_path, "script", 20, b"<script>"),
        Picture("missing", "", tmp_path / "missing"),
        picture(tmp_path, "last", 30),
        picture(tmp_path, "late", 9),
    ]
    made = pictures_data(pictures, room=80)
    assert [each["of"] for each in made["shown"]] == ["first", "last"]
    assert made["all"] == 6
    assert base64.b64decode(made["shown"][0]["png"]) == pictures[0].path.read_bytes()
    assert sum(len(each["png"]) for each in made["shown"]) == 80


def test_curves_are_in_the_page_by_their_run() -> None:
    beside = Beside({"run": [Curve("val/knn", [(400.0, 0.25), (800.0, 1 / 3)])]})
    made = data_of(page_of([record()], beside))
    assert made["curves"] == {"run": [{"name": "val/knn", "points": [[400, 0.25], [800, 0.333333]]}]}


def test_a_view_and_published_numbers_are_in_the_page_as_they_are_written_elsewhere() -> None:
    records = [r for r in benchmark(data="imagenet") if r.evaluation.task == "classification"]
    published = tuple(row for row in read_published() if row.source == "arXiv:1803.07728")
    view = View(rows=("pretext",), columns=("seed", "protocol"))
    tables = Tables(records, build(records), published, view=view)
    board = data_of(page([tables.part()]).decode())["boards"][0]
    for place, sheet in zip((*board["view"], *board["published"]), tables.sheets, strict=True):
        assert place["title"] == sheet.title
        assert place["heads"] == [list(head) for head in sheet.heads]
        assert place["notes"] == list(sheet.notes)
        lines = [line for section in sheet.sections for line in section.lines]
        made = [line for section in place["sections"] for line in section["lines"]]
        assert [line["label"] for line in made] == [line.label for line in lines]
        assert [[cell["body"] for cell in line["cells"]] for line in made] == [
            [text.body for text in line.cells] for line in lines
        ]
    assert len(board["view"]) == 2
    assert all("NOT MEASURED HERE" in sheet["title"] for sheet in board["published"])
    assert any(
        "arXiv:1803.07728" in each["title"] for sheet in board["published"] for each in sheet["sections"]
    )
    assert "85.07" in json.dumps(board["published"])
    assert "85.07" not in json.dumps([board["rows"], board["columns"]])
    plain = data_of(page_of(records))["boards"][0]
    assert (plain["view"], plain["published"]) == ([], [])
    assert plain["rows"] == board["rows"]


def test_a_page_needs_a_board() -> None:
    with pytest.raises(ValueError, match="at least one board"):
        page([])


def test_the_same_records_make_the_same_bytes() -> None:
    assert page_of(benchmark()) == page_of(benchmark()[::-1])


def test_numbers_are_finite_and_plain() -> None:
    text = json.dumps(data_of(page_of(benchmark() + blind())))
    assert not re.search(r"NaN|Infinity", text)
    assert all(len(number) <= 14 for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text))
