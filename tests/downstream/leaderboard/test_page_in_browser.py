"""The page of a board in a browser: sorted, filtered, opened, by keyboard, on paper, with hostile names.

It takes a Chromium on the path, and playwright; the tests skip, saying so, where either is missing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_board import benchmark
from made_page import NARROW, WIDE, Show, part, photographs, until
from made_records import record
from test_page import HOSTILE

from downstream.leaderboard import Beside, Board, Tables, View, build, read_published
from downstream.leaderboard.page import Curve, Picture, page

pytestmark = pytest.mark.slow


def labels(shown: Any) -> list[str]:
    return [text.strip() for text in shown.locator("table.scores button.name").all_text_contents()]


def merits(board: Board, column: int) -> dict[str, float]:
    rows = [row for group in board.groups for row in group.rows]
    return {row.label: row.cells[board.columns[column]].value for row in rows}


def head(shown: Any, column: int) -> Any:
    return shown.locator(f"table.scores thead th.score-{column}")


def test_a_view_stands_above_the_scores_and_published_numbers_below(show: Show) -> None:
    records = [r for r in benchmark(data="imagenet") if r.evaluation.protocol == "frozen_classification"]
    published = tuple(row for row in read_published() if row.source == "arXiv:1803.07728")
    tables = Tables(records, build(records), published, view=View(columns=("seed",)))
    shown = show([tables.part()])
    places = ["#view", "#scores", "#published"]
    tops = [shown.locator(place).bounding_box()["y"] for place in places]
    assert tops == sorted(tops)
    view = shown.locator("#view table").first
    assert view.locator("thead th").all_text_contents() == ["Row", "0", "1", "2"]
    first = tables.sheets[0].sections[0].lines[0]
    assert view.locator("tbody tr:not(.section) th").first.text_content() == first.label
    assert view.locator("tbody tr:not(.section) td").first.text_content().startswith(first.cells[0].body)
    captions = shown.locator("#published caption").all_text_contents()
    assert captions
    assert all(caption.startswith("PUBLISHED, NOT MEASURED HERE") for caption in captions)
    assert "85.07" in shown.locator("#published").text_content()
    assert "85.07" not in shown.locator("#scores").text_content()
    plain = show([part(records)])
    assert [plain.locator(place).is_visible() for place in places] == [False, True, False]


def test_a_head_sorts_the_best_first_then_last_then_not_at_all(show: Show) -> None:
    records = benchmark()
    shown, board = show([part(records)]), build(records)
    before = labels(shown)
    scores = merits(board, 2)
    best_first = sorted(scores, key=lambda name: -scores[name])
    for order, said in ((best_first, "descending"), (best_first[::-1], "ascending"), (before, "none")):
        head(shown, 2).locator("button").click()
        assert labels(shown) == order
        assert head(shown, 2).get_attribute("aria-sort") == said
        assert shown.locator("th[aria-sort]:not([aria-sort=none])").count() == (said != "none")


def test_rows_without_a_score_are_last_either_way_and_less_may_be_better(show: Show) -> None:
    lower = {"unit": "s", "direction": "lower", "range": (0.0, None), "metric": "time"}
    records = [
        record(name, pretext=name, recipe=name, run=name, value=value, resampled=(value, value + 1), **lower)
        for name, value in (("slow", 9.0), ("fast", 1.0), ("middle", 5.0))
    ]
    records.append(record("other", pretext="absent", recipe="absent", run="absent", data="elsewhere"))
    shown = show([part(records)])
    place = next(i for i, column in enumerate(build(records).columns) if column.metric == "time")
    head(shown, place).locator("button").click()
    assert labels(shown) == ["fast", "middle", "slow", "absent"]
    assert head(shown, place).get_attribute("aria-sort") == "ascending"
    head(shown, place).locator("button").click()
    assert labels(shown) == ["slow", "middle", "fast", "absent"]


def test_rows_and_columns_are_found_and_counted(show: Show) -> None:
    shown = show([part(photographs())])
    count = shown.locator("#count")
    assert count.get_attribute("role") == "status"
    every = labels(shown)
    assert count.text_content() == f"{len(every)} of {len(every)} rows, 8 of 12 columns"
    shown.fill("#search", "COLOR")
    assert labels(shown) == ["colorization"]
    shown.fill("#search", "twin super")
    assert labels(shown) == ["supervised"]
    assert count.text_content().startswith("1 of 7 rows")
    shown.locator("#filters button[type=reset]").click()
    assert labels(shown) == every
    shown.get_by_role("combobox", name="Rows", exact=True).select_option("pretext")
    assert set(labels(shown)) == {"rotation", "colorization", "autoencoder", "jigsaw"}
    shown.get_by_role("combobox", name="Encoder", exact=True).select_option("fine-tuned")
    assert "5 of 12 columns" in count.text_content()
    assert not head(shown, 0).is_visible()
    assert head(shown, 1).is_visible()


def test_columns_are_chosen(show: Show) -> None:
    shown = show([part(photographs())])
    shown.locator("#columns summary").click()
    box = shown.locator("#choices").get_by_label("photos · classification · frozen", exact=False)
    assert head(shown, 0).is_visible()
    box.uncheck()
    assert not head(shown, 0).is_visible()
    assert not shown.locator("td.score-0").first.is_visible()
    assert not shown.locator("th.about-flops").is_visible()
    shown.locator("#choices").get_by_label("FLOPs:", exact=False).check()
    assert shown.locator("th.about-flops").is_visible()
    shown.keyboard.press("Escape")
    assert not shown.locator("#choices").is_visible()
    assert shown.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_rows_are_grouped_by_section_task_or_not(show: Show) -> None:
    records = benchmark(seeds=1) + benchmark(seeds=1, backbone="wide")
    shown = show([part(records)])
    sections = shown.locator("tr.section")
    assert sections.all_text_contents() == [
        "input rgb · small · pretrained on photos · 4 epochs",
        "input rgb · wide · pretrained on photos · 4 epochs",
    ]  # fmt: skip
    by = shown.get_by_role("combobox", name="Group by", exact=True)
    by.select_option("pretext")
    assert sorted(sections.all_text_contents()) == sorted({r.subject.pretext for r in records})
    by.select_option("")
    assert sections.count() == 0
    assert len(labels(shown)) == 10
    shown.get_by_role("combobox", name="Section", exact=True).select_option("1")
    assert len(labels(shown)) == 5


def test_bars_say_what_the_numbers_say(show: Show) -> None:
    records = benchmark()
    shown, board = show([part(records)]), build(records)
    cells = {row.label: row.cells[board.columns[0]] for row in board.groups[0].rows}
    ends = [
        end for cell in cells.values() if cell.interval for end in (cell.interval.low, cell.interval.high)
    ]
    low, high = min(ends), max(ends)
    found = shown.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("tbody tr:not(.section)")].map((row) => [
          row.querySelector(".name").textContent,
          ["--low", "--at", "--high"].map((name) =>
            parseFloat(row.querySelector(".score-0").style.getPropertyValue(name))),
        ]))"""
    )
    for label, cell in cells.items():
        assert cell.interval is not None
        wanted = [(v - low) / (high - low) for v in (cell.interval.low, cell.value, cell.interval.high)]
        share = [(0.04 + each) / 1.08 * 100 for each in wanted]
        assert found[label] == pytest.approx(share, abs=0.06)


def test_bars_reach_over_what_is_shown(show: Show) -> None:
    shown = show([part(benchmark())])
    shown.fill("#search", "rotation")
    cell = shown.locator("tr:has(.name:text-is('rotation')) .score-0")
    ends = [
        cell.evaluate(f"(td) => parseFloat(td.style.getPropertyValue('{name}'))")
        for name in ("--low", "--high")
    ]
    assert ends == pytest.approx([100 * 0.04 / 1.08, 100 * 1.04 / 1.08], abs=0.1)


CONFIG = {"job": {"name": "benchmark"}, "pretext": {"name": "rotation", "betas": [0.9, 0.99], "parent": None}}


def test_a_row_opens_to_all_that_is_behind_it(show: Show, tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    picture.write_bytes(PIXEL)
    commit = "0123456789abcdef0123456789abcdef01234567"
    records = [
        replace(r, provenance=replace(r.provenance, config=CONFIG, commit=commit)) for r in photographs()
    ]
    rotation = next(r for r in records if r.subject.pretext == "rotation")
    beside = Beside(
        {rotation.subject.run: [Curve("val/knn", [(400.0, 0.25), (800.0, 0.5)])]},
        [Picture(rotation.evaluation.digest, "what was found", picture)],
        command=lambda record: f"python run.py pretext={record.subject.pretext}",
    )
    shown = show([part(records)], beside)
    shown.locator(".name:text-is('rotation')").click()
    dialog = shown.locator("dialog")
    assert dialog.evaluate("(node) => node.matches(':modal')")
    assert shown.evaluate("document.activeElement.textContent") == "rotation"
    parts = dialog.locator("h3").all_text_contents()
    assert parts == [
        "Scores", "Gates and flags", "What it is", "Pretraining", "How to make it again", "Pictures",
        "Every metric",
    ]  # fmt: skip
    assert (
        dialog.locator(".command pre").text_content()
        == f"git checkout {commit}\npython run.py pretext=rotation"
    )
    dialog.locator("summary", has_text="Resolved configuration").click()
    assert dialog.get_by_label("Resolved configuration").text_content() == (
        "job:\n  name: benchmark\npretext:\n  name: rotation\n  betas: [0.9, 0.99]\n  parent: null"
    )
    image = dialog.locator("img")
    assert image.get_attribute("alt") == "what was found"
    image.scroll_into_view_if_needed()
    until(shown, "document.querySelector('dialog img').naturalWidth === 1")
    assert dialog.locator(".curves svg[role=img]").count() == 1
    text = dialog.text_content()
    assert commit in text
    assert "FLOPs" in text
    shown.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert shown.evaluate("document.activeElement.textContent") == "rotation"


def test_flags_are_told_in_words_and_neighbours_are_reached(show: Show) -> None:
    shown = show([part(photographs())])
    order = labels(shown)
    shown.locator(".name:text-is('jigsaw')").click()
    dialog = shown.locator("dialog")
    assert "the selected hyper-parameter lies at the end of its grid (lr)" in dialog.text_content()
    dialog.get_by_label("Row below").click()
    assert dialog.locator("h2").text_content() == order[order.index("jigsaw") + 1]
    assert "No flag." in dialog.text_content()
    dialog.get_by_label("Row above").click()
    assert dialog.locator("h2").text_content() == "jigsaw"
    shown.locator("dialog").get_by_text("Close").click()
    assert not dialog.is_visible()


def test_keys_alone_sort_open_and_go_on(show: Show) -> None:
    shown = show([part(benchmark())])
    before = labels(shown)
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.keyboard.press("Enter")
    assert shown.evaluate("location.hash") == "#scores"
    reached = []
    for _ in range(12):
        shown.keyboard.press("Tab")
        reached.append(shown.evaluate("document.activeElement.textContent"))
        if shown.evaluate("document.activeElement.closest('th')?.className") == "score-0":
            break
    assert shown.evaluate("document.activeElement.closest('th')?.className") == "score-0", reached
    shown.keyboard.press("Enter")
    assert labels(shown) != before
    shown.locator(".name").first.focus()
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowUp")
    assert shown.evaluate("document.activeElement.textContent") == labels(shown)[1]
    shown.keyboard.press("Enter")
    assert shown.locator("dialog h2").text_content() == labels(shown)[1]
    shown.keyboard.press("Escape")
    assert shown.evaluate("document.activeElement.textContent") == labels(shown)[1]


def test_boards_are_changed_between(show: Show) -> None:
    shown = show([part(benchmark(seeds=1), "first"), part(benchmark(seeds=1, data="scenes"), "second")])
    assert "photos" in shown.locator("#notes").text_content()
    shown.get_by_role("combobox", name="Board", exact=True).select_option(label="second")
    assert "scenes" in shown.locator("#notes").text_content()
    assert shown.locator("th.about-rank").count() == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_more_than_text(name: str, show: Show, tmp_path: Path) -> None:
    fields = dict.fromkeys(
        ("pretext", "backbone", "input", "data", "protocol", "metric", "stage", "budget"), name
    )
    records = [
        record("e", **fields, config={name: {name: [name]}}, commit=name, flags=(name,), device=name),
        record("f", **{**fields, "pretext": f"{name} again"}, recipe="again", run="again", primary=True),
    ]
    picture = tmp_path / "p.png"
    picture.write_bytes(PIXEL)
    beside = Beside(
        {"run": [Curve(name, [(0.0, 1.0), (2.0, 2.0)])]}, [Picture("e", name, picture)], name, lambda _: name
    )
    shown = show([part(records, name), part(records, "other")], beside)
    before = shown.evaluate("document.querySelectorAll('script, iframe, object, embed, form, link').length")
    shown.locator(".name").first.click()
    for summary in shown.locator("dialog summary").all():
        summary.click()
    assert shown.evaluate("window.taken") is None
    kept = shown.locator("dialog h2").text_content()
    unseen = [sign for sign in name if not sign.isprintable()]
    assert kept == "".join(f"\\u{{{ord(sign):x}}}" if sign in unseen else sign for sign in name)
    assert (
        shown.evaluate("document.querySelectorAll('script, iframe, object, embed, form, link').length")
        == before
    )
    assert shown.evaluate(
        "[...document.images].every((image) => image.src.startsWith('data:image/png;base64,'))"
    )
    assert not shown.evaluate("document.body.innerText").count("\x1b")


def test_the_policy_stops_scripts_and_pictures_of_others(show: Show, chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page([part(benchmark(seeds=1))]))
    shown = chromium.new_page()
    shown.goto(path.as_uri())
    shown.evaluate(
        """() => {
          window.stopped = [];
          const stop = (event) => window.stopped.push(event.effectiveDirective);
          document.addEventListener("securitypolicyviolation", stop);
          const script = document.createElement("script");
          script.textContent = "window.taken = 1";
          document.body.append(script);
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:9/x.png";
          document.body.append(image);
        }"""
    )
    until(shown, "window.stopped.length >= 2")
    assert set(shown.evaluate("window.stopped")) == {"script-src-elem", "img-src"}
    assert shown.evaluate("window.taken") is None
    shown.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_no_fault(show: Show, scheme: str, size: tuple[int, int]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    shown = show(
        [part(photographs(), "one"), part(benchmark(seeds=1), "two")], size=size, color_scheme=scheme
    )
    assert faults(axe, shown) == []
    shown.locator("#columns summary").click()
    assert faults(axe, shown) == []
    shown.keyboard.press("Escape")
    shown.locator(".name").first.click()
    for summary in shown.locator("dialog summary").all():
        summary.click()
    assert faults(axe, shown) == []


def faults(axe: Any, shown: Any) -> list[str]:
    """What axe finds, of every weight."""
    found = axe.run(shown).response["violations"]
    return [f"{each['impact']} {each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


def test_a_narrow_page_scrolls_its_table_and_not_itself(show: Show) -> None:
    shown = show([part(photographs())], size=NARROW)
    assert shown.evaluate("document.documentElement.scrollWidth") == NARROW[0]
    scroll, name = shown.locator("#scores"), shown.locator(".name").first
    assert scroll.evaluate("(node) => node.scrollWidth > node.clientWidth + 200")
    before = name.bounding_box()
    scroll.evaluate("(node) => { node.scrollLeft = 200; }")
    assert name.bounding_box()["x"] == pytest.approx(before["x"], abs=1)
    assert shown.locator(".score-0").first.bounding_box()["x"] < before["x"] + 200


def test_colours_follow_the_system_and_the_button(show: Show) -> None:
    shown = show([part(benchmark(seeds=1))], color_scheme="dark")
    color = "getComputedStyle(document.documentElement).backgroundColor"
    dark = shown.evaluate(color)
    button = shown.locator("#theme")
    button.click()
    light = shown.evaluate(color)
    assert light != dark
    assert button.text_content() == "Colours: light"
    button.click()
    assert shown.evaluate(color) == dark
    button.click()
    assert button.text_content() == "Colours: automatic"


def test_paper_has_the_table_and_the_figures_without_controls(show: Show) -> None:
    shown = show([part(photographs())], color_scheme="dark")
    shown.emulate_media(media="print")
    assert not shown.locator("#filters").is_visible()
    assert not shown.locator("#theme").is_visible()
    assert shown.locator("section.figure svg").first.is_visible()
    scroll = shown.locator("#scores")
    assert scroll.evaluate("(node) => getComputedStyle(node).overflow") == "visible"
    assert len(shown.pdf()) > 20_000


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c6368000000"
    "82008177cd72b60000000049454e44ae426082"
)
"""A gray picture of one pixel."""
