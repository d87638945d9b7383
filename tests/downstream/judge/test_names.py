"""Names that people give: shown as given, harmless wherever they go."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose
from made_records import record
from omegaconf import OmegaConf

from downstream.judge.record_files import picture_path
from downstream.judge.records import Record
from pretext.data.dataset import DataSet, Remark
from pretext.names import LONGEST, SHOWN, printable, shown, slug
from pretextbench import dispatch, filters, names, runs, schema
from pretextbench.board import show_board
from pretextbench.schema import Leaderboard

SETTINGS = OmegaConf.structured(Leaderboard)


@pytest.mark.parametrize(
    "given",
    ["../../x", "lab/photos", "MoCo v2 (ours)", "größe", "東京", "..", "a" * 90, ".hidden", "-m", "a\\b"],
)
def test_a_safe_form_is_one_part_of_a_path(given: str) -> None:
    safe = slug(given)
    assert Path("x", safe).parent == Path("x")
    assert safe.isascii()
    assert len(safe) <= LONGEST
    assert safe[0].isalnum()
    assert not set(safe) & set('/\\:*?"<>| ')


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("größe 東京 ½ <b>", "größe 東京 ½ <b>"),
        ("a\nb\r\tc", "a\ufffdb\ufffd\ufffdc"),
        ("\x1b[2Jx\x9b1m", "\ufffd[2Jx\ufffd1m"),
        ("\u202egnp\u2066", "\ufffdgnp\ufffd"),
        ("\udcff", "\ufffd"),
        ("", ""),
    ],
)
def test_a_name_is_printed_on_one_line_of_printable_signs(given: str, said: str) -> None:
    assert printable(given) == said
    assert shown(given) == said


def test_the_middle_of_a_long_name_is_left_out() -> None:
    assert shown("ab" * 5000) == f"{'ab' * 50}…{('ab' * 50)[1:]}"
    assert len(shown("x" * 10_000)) == SHOWN
    assert shown("x" * SHOWN) == "x" * SHOWN
    assert shown(Path("a/b.png"), 6) == "a/b…ng"


def test_what_a_set_says_of_itself_is_one_line(few_scenes: DataSet) -> None:
    named = replace(few_scenes, label_names=("a\x1b[2J\nb", "x" * 9999), box_names=(), mask_names=())
    remarked = replace(named, remarks=(Remark("ignored", 1, ("n\ro",)),))
    said = remarked.summary()
    assert said.isprintable()
    assert "2 classes (a\ufffd[2J\ufffdb, xxx" in said
    assert "ignored (n\ufffdo)" in said
    assert len(said) < 500


def test_a_safe_name_stays_and_no_two_names_share_a_form() -> None:
    assert slug("colorization_l2.v2-b") == "colorization_l2.v2-b"
    given = ["a/b", "a b", "a-b", "ä-b", "a:b", "東京", "京東", "größe", "grosse", "x" * 60, "x" * 61]
    assert len({slug(name) for name in given}) == len(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("label=random", "random and supervised are the twins"),
        ("label=supervised", "random and supervised are the twins"),
        ("label=blind:prior", "belong to predictors that look at no encoder"),
        ("label=''", "a name is not empty"),
        (r"label='a\nb'".replace(r"\n", "\n"), "each of which can be printed"),
        ("data=folder data.name=''", "data.name: a name is not empty"),
        ("data=folder data.name=blind:x", "data.name: names that begin with"),
        ("data@target=folder target.name=''", "target.name: a name is not empty"),
        ("pretext.name=random", "pretext.name=random is the twin"),
        ("pretext.name=blind:x", "pretext.name: names that begin with"),
        (f"pretext.name={'a' * 101}", "at most 100 characters"),
        ("output=''", "output: a path is not empty"),
        ("encoder=' '", "encoder: a path is not empty"),
        ("data.root=''", "data.root: a path is not empty"),
        ("output='~nobody-of-that-name/x'", "output: .*home"),
    ],
)
def test_names_are_checked_before_anything_is_computed(hydra: None, given: str, said: str) -> None:
    words = [given] if "\n" in given or "' '" in given else given.split()
    if "data.root" in given:
        words = ["data=folder", *words]
    with pytest.raises(ValueError, match=said):
        schema.check(compose("config", overrides=words))


@pytest.mark.parametrize("given", ["größe", "MoCo v2", "lab/photos", "random_crops", "../../x"])
def test_labels_are_free_otherwise(hydra: None, given: str) -> None:
    cfg = compose("config", overrides=[f"label='{given}'"])
    schema.check(cfg)
    assert cfg.label == given


def test_twins_keep_their_names(hydra: None) -> None:
    for name in runs.TWINS:
        schema.check(compose("config", overrides=[f"pretext={name}"]))


def test_the_twins_are_those_of_the_runs_and_the_mark_is_that_of_the_records() -> None:
    from downstream.judge.records import BLIND

    assert tuple(names.OWNERS) == runs.TWINS
    assert names.BLIND == BLIND


def test_a_home_is_a_home(hydra: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = ("output", "image", "encoder", "against", "data.root")
    cfg = compose("config", overrides=["data=folder", *(f"{key}='~/x'" for key in keys)])
    schema.check(cfg)
    assert {OmegaConf.select(cfg, key) for key in keys} == {f"{tmp_path}/x"}


def test_an_output_in_ones_home_and_none_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "job=status", "output=~/x"])
    assert dispatch.main() == 1
    assert f"{tmp_path}/home/x holds no sweep" in capsys.readouterr().err
    for line in (["output="], ["-m", "output=", "seed=0,1"]):
        monkeypatch.setattr(sys, "argv", ["run.py", *line])
        assert dispatch.main() == 2
        assert "a path is not empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_lies_under_output_whatever_it_is_called(
    hydra: None, few_scenes: DataSet, tmp_path: Path
) -> None:
    cfg = compose("config", overrides=["pretext.name='../../x'", f"output={tmp_path}"])
    run = runs.one(cfg, cfg.pretext, replace(few_scenes, name="lab/photos"), "fp32")
    assert run.folder.parent == tmp_path / "runs"
    assert run.name == "../../x"


def bad(**fields: object) -> list[Record]:
    """Records as another one could write them."""
    return [record(evaluation="e1", **fields), record(evaluation="e2", pretext="random")]


@pytest.mark.parametrize("name", ["../../x", "lab/photos", "/etc/x", "a\nb", "[/bold]", "größe"])
def test_records_with_any_name_make_a_board_and_write_nothing_outside(name: str, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "outputs"
    made = bad(pretext=name, data=name, protocol=name, run="../*", pretraining=name)
    made[1] = replace(made[1], evaluation=replace(made[1].evaluation, data=name, protocol=name))
    for each in made:
        path = picture_path(output / "pictures", each.evaluation.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")
    folder = show_board(output, made, SETTINGS)
    assert len(list((folder / "pictures").iterdir())) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert {path.name for path in output.iterdir()} == {"boards", "pictures"}


def rows() -> list[Record]:
    return [
        record(evaluation="a", pretext="rotation", pretraining="tiny", data="ccp"),
        record(evaluation="b", pretext="colorization", pretraining="ccp", data="ccp"),
        record(evaluation="c", pretext="random", pretraining="tiny", data="ccp"),
        record(evaluation="d", pretext="rotation", pretraining="tiny", data="tiny", suite="tiny64 v1"),
        record(evaluation="e", pretext="blind:label_prior", pretraining="", data="ccp", suite="tiny64 v1"),
    ]


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("", "abcde"),
        ("trainer.device=cpu data.train=96 +backbone.widths=[8] leaderboard.published=true", "abcde"),
        ("data=ccp", "abce"),
        ("data=tiny", "d"),
        ("data=tiny data@target=ccp", "ace"),
        ("pretext=rotation", "acde"),
        ("pretext=colorization data=ccp", "bce"),
        ("data=folder data.name=ccp", "abce"),
        ("suite=tiny64", "de"),
        ("suite=tiny64/ccp data=ccp", "e"),
    ],
)
def test_a_leaderboard_of_some_rows(line: str, left: str) -> None:
    found = filters.chosen(rows(), filters.asked(["job=leaderboard", "logger=none", *line.split()]))
    assert "".join(sorted(r.evaluation.digest for r in found)) == left


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data=voc07", "no record judged on 'voc07'; recorded: ccp, tiny"),
        ("pretext=jigsaw", "no record of 'jigsaw'; recorded: colorization, random, rotation"),
        ("data=ccp data@target=tiny", "no record pretrained on 'ccp'; recorded: tiny"),
        ("seed=1", "does not read seed"),
        ("suite=scenes", "no record of suite 'scenes'; recorded: tiny64 v1"),
        (
            "suite=tiny64 data=photos",
            r"no record judged on 'photos'; recorded: ccp, tiny \(suite=tiny64 left 2 of 5 records\)",
        ),
        (
            "suite=tiny64 data=tiny pretext=colorization",
            r"no record of 'colorization'; recorded: rotation \(suite=tiny64 left 2 of 5 records; "
            r"data judged on, tiny, left 1 of 2\)",
        ),
        (
            "data=tiny data@target=ccp pretext=colorization",
            r"no record of 'colorization'; recorded: random, rotation \(data judged on, ccp, left 4 of 5; "
            r"data pretrained on, tiny, left 2 of 3\)",
        ),
        ("backbone=resnet18", "does not read backbone"),
        ("experiment=smoke", "does not read experiment"),
    ],
)
def test_a_leaderboard_of_no_rows_says_why(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        filters.chosen(rows(), filters.asked(line.split()))
