"""The folders or lists of a set by the names that people give its splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pretext.data.source import BadArchive

ROLES: Mapping[str, frozenset[str]] = {
    "train": frozenset({"train", "training"}),
    "val": frozenset({"val", "valid", "validation", "dev", "eval"}),
    "test": frozenset({"test", "testing"}),
}
"""What the folder or list of each split may be called, in lower case."""


def by_role(names: Iterable[str], where: str) -> dict[str, str]:
    """Those of the names that stand for a split, by the split.

    Args:
        names: of the folders or lists of a set. where: they lie, for the message.

    Raises: BadArchive for two names of one split.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        for role, called in ROLES.items():
            if name.lower() not in called:
                continue
            if role in found:
                raise BadArchive(f"{where} holds both {found[role]} and {name}: which is {role}?")
            found[role] = name
    return found
