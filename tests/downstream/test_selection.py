"""The best candidate of each stage, and of all."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from downstream.protocol import Trial
from downstream.selection import best, best_by_stage


class Head(NamedTuple):
    trial: Trial
    name: str


def head(stage: str, val: float, name: str) -> Head:
    return Head(Trial(stage, {"lr": 0.1}, val), name)


def test_the_best_of_each_stage_is_kept_the_earliest_of_equal_ones() -> None:
    tried = [head("a", 0.5, "1"), head("a", 0.7, "2"), head("b", 0.6, "3"), head("a", 0.7, "4")]
    trials, chosen = best_by_stage(iter(tried))
    assert trials == tuple(one.trial for one in tried)
    assert {stage: one.name for stage, one in chosen.items()} == {"a": "2", "b": "3"}
    assert best(trials) is tried[1].trial


def test_there_is_no_best_of_nothing_and_none_of_nan() -> None:
    assert best_by_stage([]) == ((), {})
    with pytest.raises(ValueError, match="no trial"):
        best(())
    with pytest.raises(ValueError, match=r"stage 'a'.*nan"):
        best([head("a", float("nan"), "1").trial])
