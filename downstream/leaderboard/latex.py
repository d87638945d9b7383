r"""Tables in LaTeX; they need the packages booktabs, multirow and, for wide ones, a page of their own."""

from __future__ import annotations

from collections.abc import Iterable

from downstream.leaderboard.sheets import Line, Section, Sheet, Text

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
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # behind the end of a row it would be an argument
    "±": r"$\pm$",
    "−": "$-$",
    "≈": r"$\approx$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "→": r"$\to$",
    "°": r"$^\circ$",
    "²": "$^2$",
    "χ": r"$\chi$",
    "τ": r"$\tau$",
    "…": r"\dots{}",
    "–": "--",
    "\ufffd": "?",
}


def latex(sheets: Iterable[Sheet]) -> str:
    """All tables, one `table` environment each."""
    return "% Needs \\usepackage{booktabs,multirow}.\n" + "\n".join(_sheet(sheet) for sheet in sheets)


def _sheet(sheet: Sheet) -> str:
    heads = [" ".join(escape(part) for part in head) for head in sheet.heads]
    width = 2 + len(heads)
    rows = [row for section in sheet.sections for row in (*_rows(section), rf"\cline{{1-{width}}}")]
    lines = [
        rf"\begin{{tabular}}{{ll{'r' * len(heads)}}}",
        r"\toprule",
        f"{_row(['', '', *heads])}",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = "\n\n".join(escape(note) for note in (*sheet.notes, *_underlined(sheet)))
    return (
        "\\begin{table}\n\\centering\\footnotesize\n"
        f"\\caption{{{escape(sheet.title)}}}\n" + "\n".join(lines) + "\n\n"
        f"\\par\\raggedright {notes}\n\\end{{table}}\n"
    )


def _underlined(sheet: Sheet) -> list[str]:
    """What underlining means, where there is any; no other format has it."""
    texts = (text for section in sheet.sections for line in section.lines for text in line.cells)
    return ["Underlined: second best."] if any(text.second for text in texts) else []


def _rows(section: Section) -> list[str]:
    """Its lines; the title stands before the first and reaches over all."""
    title, height = escape(section.title), len(section.lines)
    first = rf"\multirow[c]{{{height}}}{{*}}{{{title}}}" if height > 1 else title
    return [
        _row([first if place == 0 else "", _label(line), *map(_text, line.cells)])
        for place, line in enumerate(section.lines)
    ]


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SYMBOLS.get(character, character) for character in text)


def _label(line: Line) -> str:
    return escape(line.label) + (f" ({escape(line.remark)})" if line.remark else "")


def _text(text: Text) -> str:
    body = escape(text.body)
    if text.bold or text.second:
        body = rf"\{'textbf' if text.bold else 'underline'}{{{body}}}"
    under = f" ({escape(text.under)})" if text.under else ""
    return body + escape(text.mark) + (f"$^{{{text.notes}}}$" if text.notes else "") + under
