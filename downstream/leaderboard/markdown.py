"""Tables in Markdown (GitHub's dialect)."""

from __future__ import annotations

from collections.abc import Iterable

from downstream.leaderboard.sheets import Line, Sheet, Text


def markdown(sheets: Iterable[Sheet]) -> str:
    """All tables as one page."""
    return "\n".join(_sheet(sheet) for sheet in sheets)


def _sheet(sheet: Sheet) -> str:
    lines = [f"## {_escape(sheet.title)}", ""]
    heads = ["<br>".join(_escape(part) for part in head if part) for head in sheet.heads]
    lines += [_row(["", *heads]), _row(["---", *("---:" for _ in heads)])]
    for section in sheet.sections:
        lines.append(_row([f"*{_escape(section.title)}*", *("" for _ in heads)]))
        lines += [_row([_label(line), *(_text(text) for text in line.cells)]) for line in section.lines]
    lines.append("")
    lines += [f"- {_escape(note)}" for note in sheet.notes]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _label(line: Line) -> str:
    return _escape(line.label) + (f" ({_escape(line.remark)})" if line.remark else "")


def _text(text: Text) -> str:
    body = f"**{_escape(text.body)}**" if text.bold else _escape(text.body)
    under = f"<br>{_escape(text.under)}" if text.under else ""
    return body + text.mark + (f"<sup>{text.notes}</sup>" if text.notes else "") + under


def _escape(text: str) -> str:
    for character in "\\|*_<":
        text = text.replace(character, f"\\{character}")
    return text.replace("](", "]\\(")  # of which a link is made
