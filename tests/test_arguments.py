"""What a person types and Hydra's grammar cannot read."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pretextbench.arguments import quoted


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


def test_flags_and_plain_words_are_left_alone() -> None:
    line = ["-m", "--config-dir=~/x", "pretext=a,b", "~pretext.optimizer.betas", "job=status"]
    assert quoted(line) == line
