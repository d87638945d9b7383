"""Lists in text files, as people write them: one entry a line, whatever ends the lines."""

from __future__ import annotations

import codecs

from pretext.data.source import BadArchive


def read_lines(content: bytes, title: str) -> list[str]:
    """The lines that hold something, without the blanks around them; blanks and tabs inside are kept.

    Lines end as on any system (LF, CRLF, CR); a byte order mark is left out, UTF-16 is told by its own.

    Args:
        content: of the file. title: its name, for messages.

    Raises: BadArchive for what is no text in UTF-8, or in UTF-16 with its mark.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadArchive(f"{title} is no list in UTF-8 ({error})") from error
    # Not str.splitlines, which takes other characters for ends of lines too.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.strip() for line in lines if line.strip()]
