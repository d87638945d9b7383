"""What a person types and Hydra's grammar cannot read."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pretextbench.arguments import check_one_output, quoted


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("output=~/x", "~/x"),
        ("label=größe", "größe"),
        ("image=/home/Jürgen/mein bild.jpg", "/home/Jürgen/mein bild.jpg"),
        ("data.places=[~/a,b]", ["~/a", "b"]),
        ("seed=3", 3),
        ("label='~ x'", "~ x"),
    ],
)
def test_values_are_read_as_meant(typed: str, read: object) -> None:
    (parsed,) = OverridesParser.create().parse_overrides(quoted([typed]))
    assert parsed.value() == read


def test_a_sweep_stays_one() -> None:
    (parsed,) = OverridesParser.create().parse_overrides(quoted(["label=größe,weite"]))
    assert parsed.is_sweep_override()
    assert list(parsed.sweep_string_iterator()) == ["'größe'", "weite"]


def test_a_sweep_has_one_output() -> None:
    for word in ("output=a,b", "output=choice(a,b)"):
        check_one_output([word])
        with pytest.raises(ValueError, match="the members of a sweep share one output"):
            check_one_output(["-m", "seed=0,1", word])
    for word in ("output=a", "output=[a", "output=", "output='a,b'"):
        check_one_output(["--multirun", word, "seed=0,1"])


def test_flags_and_plain_words_are_left_alone() -> None:
    line = ["-m", "--config-dir=~/x", "pretext=a,b", "~pretext.optimizer.betas", "job=status"]
    assert quoted(line) == line


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("where.pretext=simclr,byol", ["simclr", "byol"]),
        ("where.pretext=[simclr,byol]", ["simclr", "byol"]),
        ("where.pretext=simclr, byol", ["simclr", "byol"]),
        ("where.pretext=byol", "byol"),
        ("where.seed=0,1", [0, 1]),
        ("where.trains_encoder=true", True),
        ("where.budget=4 epochs,20 epochs", ["4 epochs", "20 epochs"]),
        ("where.input=lightness(scale=1, shift=0)", "lightness(scale=1, shift=0)"),
        ("where.backbone=SmallNet,TimmNet(model='a,b')", ["SmallNet", "TimmNet(model='a,b')"]),
        ("where.backbone=[TimmNet(model=')')]", ["TimmNet(model=')')"]),
        ("where.options.pools=[[1,2],[3]]", ["[1,2]", "[3]"]),
        ("where.options.pools=[1,2],[3]", ["[1,2]", "[3]"]),
        ('where.pretext=["a, b",c]', ["a, b", "c"]),
        ("where.pretext='a, b'", "a, b"),
        ("where.pretext=größe", "größe"),
        ("rows=data", "data"),
        ("columns=data,protocol", ["data", "protocol"]),
        ("sections=[backbone,options.pools]", ["backbone", "options.pools"]),
    ],
)
def test_records_are_chosen_without_nested_quotes(typed: str, read: object) -> None:
    (parsed,) = OverridesParser.create().parse_overrides(quoted([f"leaderboard.{typed}"]))
    assert parsed.value() == read


def test_commas_of_a_sweep_are_no_list() -> None:
    line = ["leaderboard.where.seed=0,1", "-m"]
    assert quoted(line) == line
