"""What `leaderboard.rows`, `.columns`, `.sections` and `.where` say, in one form however it was typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from pretextbench.fitting import fit

AXES = ("rows", "columns", "sections")
FieldNames = str | list[str]
Value = str | int | float | bool | None


def check(leaderboard: Mapping[str, Any]) -> None:
    """Hold the settings to their types.

    Args:
        leaderboard: plain.

    Raises:
        ValueError: names that are neither text nor a list of it; a value to choose by that is a mapping.
    """
    for axis in AXES:
        fit(FieldNames, leaderboard[axis], f"leaderboard.{axis}")
    fit(dict[str, Any], leaderboard["where"], "leaderboard.where")
    for name, value in _flat(leaderboard["where"]).items():
        fit(Value | list[Value], value, f"leaderboard.where.{name}")


def axes(settings: DictConfig) -> tuple[tuple[str, ...], ...]:
    """Names of the fields that rows, columns and sections are made of."""
    said = cast("dict[str, Any]", OmegaConf.to_container(settings))
    chosen = (said[axis] for axis in AXES)
    return tuple((names,) if isinstance(names, str) else tuple(names) for names in chosen)


def wanted(settings: DictConfig) -> dict[str, list[Value]]:
    """By the name of a field, the values of which a chosen record has one.

    Raises:
        ValueError: a field of which none is wanted.
    """
    where = OmegaConf.to_container(settings.where)
    assert isinstance(where, dict)
    flat = _flat({str(name): value for name, value in where.items()})
    if none := [name for name, value in flat.items() if value == []]:
        raise ValueError(f"leaderboard.where.{none[0]}=[] chooses nothing; name one value or several")
    return {name: value if isinstance(value, list) else [value] for name, value in flat.items()}


def _flat(given: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys by dotted name: a field may lie inside another."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
