"""One door to the terminal: other people's text comes out letter by letter, in any encoding."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text as RichText

from downstream.leaderboard.sheets import Line, Section, Sheet, Text
from downstream.leaderboard.terminal import print_sheet
from pretext.fit import SIGTERM_STATUS
from pretext.fit.progress import ProgressBar
from pretextbench import console as door
from pretextbench import dispatch
from pretextbench.console import console, open_door, progress
from pretextbench.status import show_status

ROOT = Path(__file__).parent.parent
NASTY = "[/bold] [linear,knn] [red]x[/red] :smile: [/]"


def sources() -> list[Path]:
    return [
        ROOT / "run.py",
        *sorted(p for d in ("pretextbench", "pretext", "downstream") for p in (ROOT / d).rglob("*.py")),
    ]


def other_doors(path: Path) -> list[str]:
    """Calls that print past the door, or read text as markup."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "rich"
            and any(a.name == "print" for a in node.names)
        ):
            found.append("from rich import print")
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        plain = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name in ("print", "sys.stdout.write", "sys.stderr.write", "input") or name.endswith(
            ("from_markup", "console.status", "console.input")
        ):
            found.append(name)
        if name in ("Console", "TextColumn") and plain.get("markup") != "False":
            found.append(f"{name} that reads markup")
        if name.endswith("onsole.print") and not plain.keys().isdisjoint({"markup", "highlight", "emoji"}):
            found.append(f"{name} with a switch of its own")
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_prints_by_another_door(path: Path) -> None:
    assert not other_doors(path)


def test_the_search_finds_other_doors(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(
        "print(1)\nConsole()\nTextColumn('x')\nText.from_markup('x')\nconsole.print('x', markup=True)"
    )
    assert len(other_doors(bad)) == 5


def test_text_is_no_markup_wherever_it_is_put(capsys: pytest.CaptureFixture[str]) -> None:
    console.print(NASTY, soft_wrap=True)
    console.rule(NASTY)
    table = Table(NASTY, title=NASTY, box=None)
    table.add_row(NASTY)
    console.print(table)
    with progress(NASTY) as move:
        move(NASTY, 1, 1)
    lines = (Line(NASTY, (Text(NASTY),), NASTY),)
    print_sheet(Sheet("scores", NASTY, ((NASTY,),), (Section(NASTY, lines),), (NASTY,)), console)
    shown = " ".join(capsys.readouterr().out.replace("─", "").split())
    assert shown.count("[linear,knn]") >= 10
    assert shown.count("[red]x[/red] :smile:") >= 6


SIGNS = "\x1b[2J\x1b]0;title\x07 a\rb \x9b31m \u202egnp.exe \u2028 \x00\x7f"


def test_nothing_that_is_printed_moves_the_cursor_or_colours_the_screen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, markup=False, highlight=False, width=200)
    screen.push_render_hook(door._Signs())
    monkeypatch.setattr(door, "console", screen)
    for to in (console, screen):
        to.print(SIGNS, soft_wrap=True)
        to.print(f"two\nlines {SIGNS}")
        to.print(RichText(SIGNS, "red"))
        to.rule(SIGNS)
        table = Table(SIGNS, title=SIGNS, box=None)
        table.add_row(RichText(SIGNS))
        to.print(table)
    with progress(SIGNS) as move:
        move(SIGNS, 1, 2)
    assert isinstance(screen.file, io.StringIO)
    plain, coloured = capsys.readouterr().out, screen.file.getvalue()
    assert all(line.isprintable() for line in plain.split("\n"))
    assert "two\nlines " in plain
    assert "gnp.exe" in plain
    assert "\x1b[2J" not in coloured
    assert "\x1b]0" not in coloured
    for sign in "\x07\x9b\u202e\u2028\x00\x7f":
        assert sign not in coloured


def test_a_bar_shows_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, markup=False, highlight=False, width=200)
    monkeypatch.setattr(door, "console", screen)
    with progress("[linear,knn]") as move:
        move("[/x]", 1, 2)
    assert isinstance(screen.file, io.StringIO)
    assert "[linear,knn]: [/x]" in screen.file.getvalue()
    assert ProgressBar("[/x]", screen) is not None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_does_not_have_is_replaced(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    open_door()
    console.print("─ 31.4 ± 0.9ᵃ · Jähne 東京 \udcff")
    shown = raw.getvalue().decode(encoding)
    assert "31.4" in shown
    if encoding == "ascii":
        assert shown == "- 31.4 ~ 0.9a . Jahne ?? ?\n"


def test_a_terminal_that_says_it_has_no_columns_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert door._door(stderr=False).width == door.UNKNOWN_WIDTH


def test_an_error_comes_out_where_there_is_nothing_but_ascii(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "job=status", "output='größe[/red]'"],
        cwd=tmp_path,
        env={"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert b"gr????e[/red] holds no sweep" in done.stderr
    assert not done.stdout


def test_a_failing_member_says_why_and_keeps_its_brackets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["-m", "data=folder", "data.root='a[/bold]','b[/bold]'", "downstream=[linear,knn]"]
    fixed = [f"output={tmp_path}", "logger=none", "trainer.device=cpu"]
    monkeypatch.setattr(sys, "argv", ["run.py", *given, *fixed])
    assert dispatch.main() == 1
    said = capfd.readouterr()
    for words in ("full_key", "Error executing job", "Traceback"):
        assert words not in said.out + said.err
    for root in ("a[/bold]", "b[/bold]"):
        assert f"data.root='{root}' downstream=[linear,knn]" in said.out
        assert f"failed: data=folder data.root='{root}' downstream=[linear,knn]" in said.err
        assert re.search(rf"^  \w+: .*{re.escape(root)}", said.err, re.MULTILINE), said.err
    show_status(tmp_path, None)
    shown = "".join(capfd.readouterr().out.split())
    assert "'downstream=[linear,knn]'" in shown
    assert shown.count("a[/bold]") >= 2


def test_hydra_announces_no_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "job=status", f"output='{tmp_path}/[/x]'"])
    assert dispatch.main() == 1
    said = capfd.readouterr()
    assert f"{tmp_path}/[/x] holds no sweep" in said.err
    assert not said.out


def test_the_status_of_a_stopped_run_is_the_one_that_pretraining_ends_with() -> None:
    assert dispatch.SIGTERM_STATUS == SIGTERM_STATUS
