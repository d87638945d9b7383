"""Lists in text files are read whatever wrote them."""

import codecs

import pytest

from pretext.data.lists import read_lines
from pretext.data.source import BadArchive


@pytest.mark.parametrize(
    "content",
    [
        b"a 1\nb c.jpg\n\xc3\xa4\n",
        b"a 1\r\nb c.jpg\r\n\r\n  \xc3\xa4\t",
        b"\n\na 1\rb c.jpg\r\xc3\xa4",
        codecs.BOM_UTF8 + b"a 1\n  b c.jpg  \n\xc3\xa4",
        "a 1\nb c.jpg\nä\n".encode("utf-16"),
    ],
)
def test_one_entry_a_line_whatever_ends_it(content: bytes) -> None:
    assert read_lines(content, "x.txt") == ["a 1", "b c.jpg", "ä"]


def test_odd_characters_end_no_line_and_what_is_no_text_is_named() -> None:
    assert read_lines("a\u2028b\x0cc\n".encode(), "x.txt") == ["a\u2028b\x0cc"]
    assert read_lines(b"", "x.txt") == []
    with pytest.raises(BadArchive, match=r"x\.txt is no list in UTF-8"):
        read_lines(b"gr\xfcn\n", "x.txt")
