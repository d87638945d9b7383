"""The best candidate of each stage, and of all."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from downstream.protocol import GateFailed, Trial
from downstream.selection import (
    Diverged,
    at_edge,
    attempt,
    best,
    best_by_stage,
    choose_over_stages,
    judged,
)

NAN = float("nan")


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
    with pytest.raises(GateFailed, match=r"'selection' .*stage 'a', lr 0\.1: .* is nan; .* of step 3"):
        best([head("a", NAN, "1").trial, Trial("b", {"lr": 1.0}, NAN, "the loss of step 3 is inf")])


def test_what_diverged_is_not_chosen_and_a_stage_of_nothing_else_has_no_candidate() -> None:
    tried = [head("a", NAN, "1"), head("a", 0.7, "2"), head("b", NAN, "3"), head("a", NAN, "4")]
    trials, chosen = best_by_stage(iter(tried))
    assert len(trials) == 4
    assert {stage: one.name for stage, one in chosen.items()} == {"a": "2"}
    assert best(trials) is tried[1].trial
    assert math.isnan(judged(lambda rows: 0.5, {"scores": np.array([1.0, np.inf])}))
    assert judged(lambda rows: 0.5, {"scores": np.array([1.0]), "labels": np.array([3])}) == 0.5


def test_the_winner_is_the_best_stage_and_its_edge_is_asked_of_that_stage() -> None:
    vals = {("a", 1): 0.5, ("a", 2): 0.6, ("b", 1): 0.2, ("b", 2): 0.8, ("c", 2): NAN}
    tried = [Head(Trial(stage, {"pool": pool}, val), stage) for (stage, pool), val in vals.items()]
    chosen = choose_over_stages(iter(tried), 10_000)
    assert chosen.trials == tuple(one.trial for one in tried)
    assert chosen.by_stage == {"a": tried[1], "b": tried[3]}
    assert (chosen.winner, chosen.at_edge) == (tried[3], ("pool",))
    sides = {"a": 9.0, "b": 2.0}
    assert choose_over_stages(tried, 10_000, lambda stage: {"pool": sides[stage]}).at_edge == ()
    with pytest.raises(GateFailed, match="every setting diverged: stage 'c'"):
        choose_over_stages(tried[-1:], 10_000)


def test_a_grid_that_reaches_into_divergence_is_long_enough() -> None:
    trials = [Trial("a", {"lr": lr}, val) for lr, val in ((0.01, 0.2), (0.1, 0.5), (1.0, NAN))]
    assert at_edge(trials, trials[1], 100) == ()
    assert at_edge(trials[:2], trials[1], 100) == ("lr",)


def test_an_attempt_that_diverges_has_no_score_and_other_errors_are_errors() -> None:
    def diverge() -> None:
        raise Diverged("the loss of step 2 is nan")

    def fail() -> None:
        raise FloatingPointError("a feature is nan")

    lost, nothing = attempt("a", {"lr": 1.0}, diverge, lambda: 0.5)
    assert (math.isnan(lost.val), lost.why, nothing) == (True, "the loss of step 2 is nan", None)
    assert attempt("a", {"lr": 1.0}, lambda: "it", lambda: 0.5) == (Trial("a", {"lr": 1.0}, 0.5), "it")
    with pytest.raises(FloatingPointError, match="a feature is nan"):
        attempt("a", {"lr": 1.0}, fail, lambda: 0.5)
