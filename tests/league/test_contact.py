"""Contact sheets and their page: which images, in which place, and nothing of a name that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pretextbench.league.contact import cases_of, html, sheet


def test_cases_are_the_least_the_largest_and_others_none_twice() -> None:
    errors = np.random.default_rng(0).permutation(40).astype(float)
    cases = cases_of(errors, seed=0)
    assert errors[cases["best"]].tolist() == [0, 1, 2, 3]
    assert errors[cases["worst"]].tolist() == [39, 38, 37, 36]
    every = [place for places in cases.values() for place in places]
    assert len(every) == len(set(every)) == 12
    assert cases_of(errors, seed=0) == cases
    assert cases_of(errors, seed=1)["random"] != cases["random"]


@pytest.mark.parametrize("images", [1, 2, 3, 5])
def test_few_images_are_enough(images: int) -> None:
    cases = cases_of(np.arange(images, dtype=float), seed=0)
    every = [place for places in cases.values() for place in places]
    assert len(every) == len(set(every)) == min(images, len(every)) > 0


def test_each_picture_stands_in_its_row_and_column() -> None:
    panels = {
        name: np.full((2, 64, 64, 3), 0, np.uint8) + np.array([[[[10 * c]]], [[[10 * c + 100]]]], np.uint8)
        for c, name in enumerate(["gray", "a_system_with_a_long_name", "original"])
    }
    made = sheet(panels, ["best 3", "worst 1"])
    # Every column is 128 pixels and a gap wide; columns and rows are found from the lower right corner.
    right, lower = made.shape[1], made.shape[0]
    for column in range(3):
        x = right - (3 - column) * 134 + 64
        assert made[lower - 70, x].tolist() == [10 * column + 100] * 3
        assert made[lower - 70 - 134, x].tolist() == [10 * column] * 3


def test_the_page_holds_its_pictures_and_runs_no_name() -> None:
    bad = "</script><script>alert(1)</script>&\u2028"
    page = html({bad: np.zeros((1, 8, 8, 3), np.uint8)}, ["best 0"])
    assert "alert(1)</script>" not in page
    (case,) = json.loads(page.split('id="cases">')[1].split("</script>")[0])
    assert list(case["panels"]) == [bad]
    assert case["panels"][bad].startswith("data:image/png;base64,")
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.slow
def test_keys_and_buttons_turn_the_page_mark_a_system_and_enlarge(chromium: Any, tmp_path: Path) -> None:
    names = ["gray", "welsh", "original"]
    drawn = np.arange(4 * 3, dtype=np.uint8).reshape(3, 4, 1, 1, 1) * np.ones((1, 1, 8, 8, 3), np.uint8) * 20
    path = tmp_path / "league.html"
    path.write_text(html(dict(zip(names, drawn, strict=True)), ["best 3", "best 9", "worst 1", "random 5"]))
    shown = chromium.new_page(viewport={"width": 900, "height": 700})
    faults: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda said: faults.append(said.text))
    shown.on("pageerror", lambda error: faults.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(path.as_uri())

    def seen() -> tuple[str, str, list[str], list[int]]:
        """The image, how many, who is marked, and the red that each panel shows."""
        marked = shown.locator("figure[aria-current] figcaption").all_inner_texts()
        reds = shown.evaluate(
            """() => Promise.all([...document.images].map(async image => {
                await image.decode();
                const canvas = document.createElement("canvas").getContext("2d");
                canvas.drawImage(image, 0, 0);
                return canvas.getImageData(0, 0, 1, 1).data[0];
            }))"""
        )
        return shown.inner_text("#row"), shown.inner_text("#count"), marked, reds

    def width() -> float:
        return float(shown.locator("figure").first.bounding_box()["width"])

    assert shown.locator("figcaption").all_inner_texts() == names
    assert seen() == ("best 3", "1 of 4", [], [0, 80, 160])
    shown.keyboard.press("ArrowRight")
    assert seen() == ("best 9", "2 of 4", [], [20, 100, 180])
    for _ in range(2):
        shown.keyboard.press("ArrowLeft")
    assert seen() == ("random 5", "4 of 4", [], [60, 140, 220]), "before the first comes the last"
    shown.click("#after")
    assert seen()[0] == "best 3"
    shown.keyboard.press("ArrowUp")
    assert seen()[2] == ["original"]
    for _ in range(2):
        shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowRight")
    assert seen()[2] == ["welsh"], "and stays marked on the next image"
    before = width()
    for _ in range(3):
        shown.keyboard.press("+")
    assert width() > 1.5 * before
    for _ in range(12):
        shown.click("#larger")
    assert width() > 780
    assert shown.evaluate("document.documentElement.scrollWidth") <= 900
    shown.set_viewport_size({"width": 400, "height": 700})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 400, "no picture is wider than the page"
    for _ in range(20):
        shown.keyboard.press("-")
    assert 60 < width() < 130
    assert faults == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    shown.close()
