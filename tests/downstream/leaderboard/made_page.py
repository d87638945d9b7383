"""Pages of made-up boards in a browser, and what tests ask of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_board import COLUMNS, benchmark, blind, one

from downstream.judge.records import Record
from downstream.leaderboard import Tables, build
from downstream.leaderboard.page import Part

WIDE, NARROW = (1280, 900), (400, 800)


Show = Callable[..., Any]


def until(shown: Any, expression: str) -> None:
    """Wait until it holds; the page's policy refuses playwright's own way, which evaluates text."""
    for _ in range(200):
        if shown.evaluate(expression):
            return
        shown.wait_for_timeout(50)
    pytest.fail(f"never: {expression}")


def part(records: Sequence[Record], title: str = "") -> Part:
    return Tables(records, build(records)).part(title)


def photographs() -> list[Record]:
    """A board with what the figures show: stages, single classes, efforts, twins, blind rows, flags."""
    records = benchmark(
        pretexts=("random", "supervised", "rotation", "colorization", "autoencoder", "jigsaw")
    )
    records += blind()
    records = [
        replace(r, result=replace(r.result, flags=("at_edge:lr",))) if r.subject.pretext == "jigsaw" else r
        for r in records
    ]
    for seed in range(2):
        for name, shift in (("rotation", 0.0), ("colorization", 0.1)):
            first = one(name, *COLUMNS[4], seed, "photos")
            for label in range(4):
                own = replace(first.evaluation, metric=f"IoU_{label}", primary=False)
                value = 0.2 + 0.1 * label + shift * (label - 1) + 0.01 * seed
                records.append(
                    replace(first, evaluation=own, result=replace(first.result, value=value, resampled=()))
                )
            for stage in ("conv1", "conv2"):
                own = replace(first.evaluation, stage=stage)
                records.append(replace(first, evaluation=own, result=replace(first.result, selected=False)))
    return records
