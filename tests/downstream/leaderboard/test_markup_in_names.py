"""Anybody's names in every format: shown as text, never obeyed."""

from __future__ import annotations

import html.parser
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_board import COLUMNS, one
from rich.console import Console

from downstream.judge.records import Record
from downstream.leaderboard import Paths, Tables, build
from downstream.leaderboard.latex import escape
from downstream.leaderboard.tidy import scores_json

HOSTILE = {
    "html": "<b>x</b><img src=x onerror=alert(1)>",
    "script": "</script><script>alert(1)</script>",
    "comment": "<!-- x",
    "entity": "&lt;script&gt;",
    "latex": "\\input{/etc/passwd}$x^2_3$%#&~",
    "rich": "[bold red]x[/] [link=http://evil]y[/link]",
    "terminal": "\x1b[2J\x1b]0;title\x07x",
    "controls": "a\r\nb\tc\x00d\x08e",
    "backwards": "abc\u202ednim",
    "markdown link": "[click](http://evil) ![x](http://evil/y.png)",
    "markdown cell": "a|b*c*_d_`e`",
    "markdown line": "x\n| best | 99.9 |",
}


def named(name: str) -> list[Record]:
    """Records that have the name wherever records have one."""
    fields = {
        "backbone": name, "input": name, "pretraining": name, "budget": name, "protocol": name,
        "flags": (name,), "stage": name, "device": name, "suite": name, "unit": name, "range": (0.0, None),
    }  # fmt: skip
    made = [
        one(name, *COLUMNS[0], 0, name, recipe="r1", **fields),
        one("other", *COLUMNS[0], 0, name, recipe="r2", **fields),
        one("other", *COLUMNS[0], 1, name, recipe="r2", **fields),
    ]
    return [replace(each, evaluation=replace(each.evaluation, metric=name)) for each in made]


@pytest.fixture(scope="module", params=HOSTILE)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Paths]:
    name = HOSTILE[request.param]
    made = named(name)
    return name, Tables(made, build(made), notes=(name,)).write(tmp_path_factory.mktemp("board"))


def test_text_and_terminal_hold_no_command(written: tuple[str, Paths]) -> None:
    name, paths = written
    made = named(name)
    out = io.StringIO()
    Tables(made, build(made), notes=(name,)).show(Console(file=out, width=80, color_system=None))
    for text in (out.getvalue(), paths.text.read_text()):
        assert all(line.isprintable() for line in text.split("\n"))
    if name.startswith("[bold"):
        assert "[bold red]x[/]" in paths.text.read_text()  # as it is, not bold


def test_markdown_is_one_table_of_text(written: tuple[str, Paths]) -> None:
    _, paths = written
    text = paths.markdown.read_text()
    assert "](" not in text
    assert not re.search(r"(?<!\\)<(?!br>|/?sup>)", text)
    for table in re.split(r"\n(?!\|)", text):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(counts) <= 1
    assert "\n| best |" not in text


def test_latex_obeys_nothing(written: tuple[str, Paths]) -> None:
    name, paths = written
    text = paths.latex.read_text()
    assert "\\input" not in text
    allowed = {
        "usepackage", "begin", "end", "centering", "footnotesize", "caption", "toprule", "midrule",
        "bottomrule", "cline", "multirow", "par", "raggedright", "textbf", "textbackslash", "textasciitilde",
        "textasciicircum", "textless", "textgreater", "textbar", "underline", "dots", "pm", "approx",
        "downarrow", "geq", "leq", "cdot", "times", "to", "circ", "chi", "tau",
    }  # fmt: skip
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= allowed
    assert text.count("{") == text.count("}")
    if "passwd" in name:
        assert escape("\\input{/etc/passwd}$x^2_3$%#&~") in text


@pytest.mark.slow
def test_latex_compiles(written: tuple[str, Paths], tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no pdflatex")
    _, paths = written
    body = paths.latex.read_text()
    page = (
        "\\documentclass{article}\\usepackage{booktabs,multirow}\\begin{document}\n"
        + body
        + "\\end{document}\n"
    )
    (tmp_path / "a.tex").write_text(page)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-2000:]


class Elements(html.parser.HTMLParser):
    """The elements of a page, outside of what scripts and styles hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_has_the_elements_it_always_has(written: tuple[str, Paths], tmp_path: Path) -> None:
    _, paths = written
    tame = named("tame")
    usual = Tables(tame, build(tame), notes=("tame",)).write(tmp_path).page.read_text()
    assert Elements(paths.page.read_text()).found == Elements(usual).found


def test_tables_for_programs_hold_the_name_to_the_letter(written: tuple[str, Paths]) -> None:
    name, paths = written
    assert name in {row["pretext"] for row in json.loads(paths.cells_json.read_text())}
    assert name in {row["evaluation.protocol"] for row in json.loads(scores_json(named(name)))}
