"""Batches that fail are asked again image by image, and processes of their own answer as this one does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from pretext.colorizers.contract import Hints
from pretextbench.league.workers import Question, answer, answers


class Picky:
    """Gives every pixel its lightness as a; dark images it refuses, bright ones it makes NaN."""

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        if float(lightness.min()) < 10:
            raise ValueError("too dark")
        ab = torch.cat([lightness, -lightness], 1)
        return torch.where(ab > 90, torch.nan, ab)


class Singular(Picky):
    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        raise np.linalg.LinAlgError("Singular matrix")


class Narrow(Picky):
    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        return lightness


def question(*levels: float) -> Question:
    return Question(torch.stack([torch.full((1, 2, 3), level) for level in levels]), ())


def levels(found: Sequence[Tensor | str]) -> list[object]:
    return [one if isinstance(one, str) else float(one[0, 0, 0]) for one in found]


def test_only_the_images_that_fail_have_no_colours() -> None:
    found = answer(Picky(), question(20, 5, 95, 40))
    assert levels(found.found) == [20, "too dark", "its colours are not all finite", 40]
    assert found.seconds > 0
    assert found.memory > 10


@pytest.mark.parametrize(
    ("system", "said"), [(Singular(), "Singular matrix"), (Narrow(), "its colours are (1, 1, 2, 3)")]
)
def test_whatever_goes_wrong_is_said(system: Picky, said: str) -> None:
    (why,) = answer(system, question(20)).found
    assert isinstance(why, str)
    assert said in why


def test_a_fault_of_the_program_is_no_failure_of_an_image() -> None:
    class Broken(Picky):
        def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
            raise AttributeError("no such thing")

    with pytest.raises(AttributeError):
        answer(Broken(), question(20))


@pytest.mark.slow
def test_processes_answer_in_order_what_this_one_does() -> None:
    questions = [question(20 + i, 5, 40) for i in range(6)]
    here = [levels(one.found) for one in answers(Picky(), iter(questions), 0)]
    there = [levels(one.found) for one in answers(Picky(), iter(questions), 2)]
    assert there == here
    assert [one[0] for one in there] == [20, 21, 22, 23, 24, 25]
