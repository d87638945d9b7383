"""`leaderboard.where`: records by any of their fields; what leaves nothing says which filter took what."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from made_records import record
from omegaconf import OmegaConf

from downstream.judge.record_files import import_jsonl, write
from downstream.judge.records import Record
from pretextbench import dispatch, filters, named_fields, schema
from pretextbench.board import show_board
from pretextbench.schema import Leaderboard


def rows() -> list[Record]:
    return [
        record(evaluation="a", pretext="rotation", seed=0, backbone="small"),
        record(evaluation="b", pretext="rotation", seed=1, backbone="small"),
        record(evaluation="c", pretext="jigsaw", seed=0, backbone="big", options={"pools": [1, 2]}),
        record(evaluation="d", pretext="random", seed=0, backbone="small", budget="", images_seen=0),
        record(
            evaluation="e",
            pretext="blind:label_prior",
            backbone="",
            input="",
            pretraining="",
            budget="",
            images_seen=0,
            stage="",
        ),
    ]


def left(where: dict[str, list[Any]]) -> str:
    return "".join(r.evaluation.digest for r in filters.narrowed(rows(), where))


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({}, "abcde"),
        ({"pretext": ["rotation"]}, "ab"),
        ({"pretext": ["rotation", "jigsaw"]}, "abc"),
        ({"seed": [1]}, "be"),
        ({"seed": ["1"]}, "be"),
        ({"backbone": ["small"], "seed": [0]}, "ade"),
        ({"backbone": ["big"]}, "ce"),
        ({"budget": ["4 epochs"]}, "abcde"),
        ({"stage": ["conv3"], "backbone": ["big"]}, "ce"),
        ({"options.pools": ["[1,2]"]}, "c"),
        ({"trains_encoder": [False]}, "abcde"),
    ],
)
def test_records_have_one_of_the_values_of_every_field(where: dict[str, list[Any]], found: str) -> None:
    assert left(where) == found


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"backbone": ["huge"]}, r"no record with 'backbone=huge'; recorded: big, small$"),
        ({"seed": [0, 7]}, r"no record with 'seed=7'; recorded: 0, 1$"),
        (
            {"backbone": ["big"], "pretext": ["rotation"]},
            r"'pretext=rotation'; recorded: blind:label_prior, jigsaw \(backbone=big left 2 of 5\)",
        ),
        ({"bogus": [1]}, r"no record has a field 'bogus'; fields: pretext, "),
        ({"precision": ["float32"]}, r"say subject\.precision or evaluation\.precision"),
    ],
)
def test_what_leaves_nothing_says_what_took_it(where: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        left(where)


def test_other_filters_come_first_and_are_told() -> None:
    by = filters.asked(["job=leaderboard", "pretext=rotation", "leaderboard.where.backbone=small"])
    assert by == {"pretext": "rotation"}
    with pytest.raises(ValueError, match=r"backbone=big'; recorded: small \(pretext=rotation left 3 of 4\)"):
        filters.chosen(rows(), by, {"backbone": ["big"]})


@pytest.mark.parametrize(
    ("words", "axes", "where"),
    [
        ([], ((), (), ()), {}),
        (
            ["leaderboard.rows=pretext", "leaderboard.columns=[data,seed]", "leaderboard.sections=backbone"],
            (("pretext",), ("data", "seed"), ("backbone",)),
            {},
        ),
        (
            ["leaderboard.where.seed=[0,1]", "leaderboard.where.evaluation.precision=float32"],
            ((), (), ()),
            {"seed": [0, 1], "evaluation.precision": ["float32"]},
        ),
    ],
)
def test_as_it_is_typed(
    hydra: None, words: list[str], axes: tuple[Any, ...], where: dict[str, list[Any]]
) -> None:
    cfg = compose("config", overrides=words)
    schema.check(cfg)
    assert named_fields.axes(cfg.leaderboard) == axes
    assert named_fields.wanted(cfg.leaderboard) == where


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("leaderboard.rows=3", r"leaderboard\.rows must be str or \[str, …\]; it is 3"),
        ("leaderboard.where=3", r"leaderboard\.where must be .*; it is 3"),
        ("leaderboard.where.seed=[[1]]", r"leaderboard\.where\.seed must be .*; it is \[\[1\]\]"),
    ],
)
def test_what_is_no_name_and_no_value_is_refused(hydra: None, word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        schema.check(compose("config", overrides=[word]))


def test_a_choice_of_nothing_is_refused() -> None:
    nothing = OmegaConf.structured(Leaderboard(where={"seed": []}))
    with pytest.raises(ValueError, match=r"leaderboard\.where\.seed=\[\] chooses nothing"):
        named_fields.wanted(nothing)


def test_a_board_is_of_the_chosen_records_in_all_its_files_and_says_so(tmp_path: Path) -> None:
    chosen = OmegaConf.structured(Leaderboard(where={"pretext": ["rotation"]}, scores=True))
    folder = show_board(tmp_path, rows(), chosen)
    assert {line["pretext"] for line in json.loads((folder / "cells.json").read_text())} == {"rotation"}
    scores = json.loads((folder / "scores.json").read_text())
    assert {line["subject.pretext"] for line in scores} == {"rotation"}
    for name in ("leaderboard.md", "leaderboard.html", "leaderboard.txt"):
        text = (folder / name).read_text()
        assert "jigsaw" not in text
        assert "Of records with pretext=rotation alone: " in text
        assert "Of stages" not in text
    seeds = OmegaConf.structured(Leaderboard(where={"pretext": ["rotation"]}, columns="seed"))
    other = show_board(tmp_path, rows(), seeds)
    assert other != folder
    assert "pretext tasks by seed" in (other / "leaderboard.md").read_text()


def test_some_records_of_an_evaluation_are_another_board(tmp_path: Path) -> None:
    """A row's stages are of one evaluation: a table of one of them takes the whole one's place nowhere."""
    stages = [record(evaluation="a", stage=f"conv{i}", selected=i == 1, value=0.5) for i in (1, 2)]
    whole = show_board(tmp_path, stages, OmegaConf.structured(Leaderboard()))
    one = show_board(tmp_path, stages, OmegaConf.structured(Leaderboard(where={"stage": ["conv1"]})))
    assert one != whole
    before = (whole / "leaderboard.md").read_text()
    said = r"no score to show of records with stage=conv2: .* and none of these was \(conv2\)"
    with pytest.raises(ValueError, match=said):
        show_board(tmp_path, stages, OmegaConf.structured(Leaderboard(where={"stage": ["conv2"]})))
    assert (whole / "leaderboard.md").read_text() == before


def test_the_job_chooses_shows_and_exports_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in rows():
        full = record(
            evaluation=each.evaluation.digest * 64,
            rows="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            pretext=each.subject.pretext,
            seed=each.subject.seed,
            backbone=each.subject.backbone,
        )
        write(tmp_path / "records", [full], {full.result.rows: b"{}"})
    view = ["leaderboard.where.backbone=small", "leaderboard.columns=seed"]
    words = ["job=leaderboard", f"output={tmp_path}", *view, f"leaderboard.export={tmp_path}/mine.jsonl"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    try:
        assert dispatch.main() == 0
    finally:
        HydraConfig.instance().cfg = None
    said = capsys.readouterr().out
    assert "pretext tasks by seed" in said
    assert "jigsaw" not in said
    assert sorted(r.subject.pretext for r in import_jsonl(tmp_path / "mine.jsonl")) == [
        "blind:label_prior",
        "random",
        "rotation",
        "rotation",
    ]
