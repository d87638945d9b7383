"""The facts of the protocols as they were last written down, read without what they are built on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("listed.csv")


class Facts(NamedTuple):
    """One protocol in a few words.

    frozen: parts of the encoder that stay as they are. chosen: what is selected, and on which split.
    cost: how often the encoder sees the images.
    """

    name: str
    version: int
    task: str
    paper: str
    frozen: str
    chosen: str
    cost: str


def read() -> dict[str, Facts]:
    """The facts by the digest of the configuration that asks for the protocol."""
    found: dict[str, Facts] = {}
    with LIST.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            asked, version = row.pop("asked"), int(row.pop("version"))
            found[asked] = Facts(version=version, **row)
    return found


def written(facts: Mapping[str, Facts]) -> str:
    """The content of the list: facts by the digests of their configurations."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("asked", *Facts._fields))
    table.writerows((asked, *about) for asked, about in facts.items())
    return file.getvalue()
