"""A page that a browser has opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_page import WIDE, Show, until

from downstream.leaderboard import Beside
from downstream.leaderboard.page import Part, page


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Iterator[Show]:
    """Open the page of some parts; at the end, nothing was reported to the console and nothing fetched."""
    said: list[str] = []
    asked: list[str] = []
    contexts: list[Any] = []

    def opened(
        parts: Sequence[Part], beside: Beside | None = None, size: tuple[int, int] = WIDE, **how: Any
    ) -> Any:
        path = tmp_path / "page.html"
        path.write_bytes(page(parts, beside))
        contexts.append(chromium.new_context(viewport={"width": size[0], "height": size[1]}, **how))
        shown = contexts[-1].new_page()
        shown.set_default_timeout(10_000)
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(path.as_uri())
        until(shown, "[...document.querySelectorAll('.drawing')].every((each) => each.firstChild)")
        return shown

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
