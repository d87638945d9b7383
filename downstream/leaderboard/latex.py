r"""Tables in LaTeX; they need the packages booktabs, multirow and, for wide ones, a page of their own."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from downstream.leaderboard.sheets import Line, Sheet, Text

SYMBOLS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "·": r"$\cdot$",
    "–": "--",
}


def latex(sheets: Iterable[Sheet]) -> str:
    """All tables, one `table` environment each."""
    return "% Needs \\usepackage{booktabs,multirow}.\n" + "\n".join(_sheet(sheet) for sheet in sheets)


def _sheet(sheet: Sheet) -> str:
    lines = [(section.title, line) for section in sheet.sections for line in section.lines]
    index = pd.MultiIndex.from_tuples([(escape(title), _label(line)) for title, line in lines])
    heads = [" ".join(escape(part) for part in head) for head in sheet.heads]
    frame = pd.DataFrame([[_text(text) for text in line.cells] for _, line in lines], index, heads)
    body = frame.style.to_latex(hrules=True, column_format="ll" + "r" * len(heads), clines="skip-last;data")
    notes = "\n\n".join(escape(note) for note in sheet.notes)
    return (
        "\\begin{table}\n\\centering\\footnotesize\n"
        f"\\caption{{{escape(sheet.title)}}}\n{body}\n"
        f"\\par\\raggedright {notes}\n\\end{{table}}\n"
    )


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SYMBOLS.get(character, character) for character in text)


def _label(line: Line) -> str:
    return escape(line.label) + (f" ({escape(line.remark)})" if line.remark else "")


def _text(text: Text) -> str:
    body = rf"\textbf{{{escape(text.body)}}}" if text.bold else escape(text.body)
    under = f" ({escape(text.under)})" if text.under else ""
    return body + escape(text.mark) + (f"$^{{{text.notes}}}$" if text.notes else "") + under
