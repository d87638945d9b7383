"""The tables in LaTeX by a compiler, where there is one: names of any signs, bold and underlined cells."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_board import COLUMNS, benchmark, blind, one

from downstream.judge.records import Record
from downstream.leaderboard import Tables
from downstream.leaderboard.latex import SYMBOLS, escape, latex
from downstream.leaderboard.sheets import sheets
from downstream.leaderboard.tables import build

COMPILERS = {
    "pdflatex": ("-interaction=nonstopmode", "-halt-on-error", "-file-line-error"),
    "tectonic": ("--keep-logs",),
}
PAGE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[paperwidth=60cm,paperheight=80cm,margin=1cm]{geometry}
\usepackage{booktabs,multirow}
\begin{document}
%s
\end{document}
"""
ODD = "a_\\{b}~c^d&e%f$g#h <i> |j| \"k\" 'l' `m` [n] é ü š ß"


def boards() -> list[Record]:
    """Scores of three seeds, of one, with a name of every sign that LaTeX takes for its own, and flags."""
    odd = [one(ODD, *column, seed, "photos") for column in COLUMNS for seed in range(3)]
    flagged = benchmark(1, "voc_07", flags=("at_edge:C for 129 of 200 classes", "head_untrained", "x_{y}%"))
    return [*benchmark(3), *blind(), *odd, *flagged]


def compiled(content: str, folder: Path) -> str:
    """The log of a compiler that took it."""
    name = next((name for name in COMPILERS if shutil.which(name)), None)
    if name is None:
        pytest.skip(f"no compiler of LaTeX is on the path: {' or '.join(COMPILERS)}")
    (folder / "tables.tex").write_text(PAGE % content, "utf-8")
    done = subprocess.run(
        [name, *COMPILERS[name], "tables.tex"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "tables.pdf").stat().st_size > 5000
    return (folder / "tables.log").read_text("utf-8", "replace")


@pytest.mark.slow
def test_a_leaderboard_compiles(tmp_path: Path) -> None:
    records = boards()
    page = Tables(records, build(records)).write(tmp_path).latex.read_text("utf-8")
    log = compiled(page, tmp_path)
    assert "Missing character" not in log
    assert "undefined" not in log.lower()


@pytest.mark.slow
def test_every_sign_that_is_replaced_compiles(tmp_path: Path) -> None:
    compiled("\n\n".join(escape(f"a{sign}b {sign}") for sign in SYMBOLS), tmp_path)


def test_every_sign_of_the_tables_is_ascii_a_letter_or_replaced() -> None:
    """What `inputenc` has no letter for stops a compiler."""
    records = [record for record in boards() if record.subject.pretext != ODD]
    page = latex(sheets(build(records)))
    assert not {sign for sign in page if not sign.isascii() and not sign.isalpha()}


def test_the_best_is_bold_and_the_second_underlined() -> None:
    made = build(benchmark(3))
    page = latex(sheets(made)[:1])
    lines = {
        row.label: next(x for x in page.splitlines() if f"& {row.label}" in x) for row in made.groups[0].rows
    }
    assert lines["colorization"].count(r"\textbf{") == len(COLUMNS)
    assert lines["rotation"].count(r"\underline{") == len(COLUMNS)
    assert page.count(r"\underline{") == len(COLUMNS)
    assert "Underlined: second best." in page
    assert not re.search(r"underline|second best", latex(sheets(build(benchmark(1, "scenes")))))
    alike = [one(name, *COLUMNS[0], 0, "photos", value=0.5) for name in ("a", "b")]
    third = one("c", *COLUMNS[0], 0, "photos", value=0.4)
    assert latex(sheets(build([*alike, third]))[:1]).count(r"\underline{") == 0
