"""Contact sheets and their page: which images, in which place, and nothing of a name that runs."""

from __future__ import annotations

import json

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
