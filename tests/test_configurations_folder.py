"""The groups are found inside the package, as a wheel has it, and beside it, as a checkout does."""

from pathlib import Path

import pytest

from pretextbench.configurations import CONF, folder


def conf(where: Path) -> Path:
    (where / "conf").mkdir(parents=True)
    (where / "conf" / "config.yaml").touch()
    return where / "conf"


def test_a_wheel_has_them_inside_whatever_lies_beside(tmp_path: Path) -> None:
    beside, inside = conf(tmp_path), conf(tmp_path / "pretextbench")
    assert folder(tmp_path / "pretextbench") == inside != beside


def test_a_checkout_has_them_beside(tmp_path: Path) -> None:
    beside = conf(tmp_path)
    (tmp_path / "pretextbench" / "conf").mkdir(parents=True)  # someone else's: it has no config.yaml
    assert folder(tmp_path / "pretextbench") == beside
    assert Path(__file__).parents[1] / "conf" == CONF


def test_where_they_are_missing_both_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pretextbench.conf or .*conf"):
        folder(tmp_path / "pretextbench")


def test_they_are_yaml_and_what_freezes_it_alone() -> None:
    """No program: a suite has a lock beside it, and the rows that ship with it."""
    there = [path for path in CONF.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    others = {path.relative_to(CONF) for path in there if path.suffix != ".yaml"}
    assert all(path.parts[0] == "suite" for path in others)
    assert all(
        path.name.endswith((".lock.json", ".jsonl.gz")) or path.parent.name == "classes" for path in others
    )
