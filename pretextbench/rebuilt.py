"""Judgements as records describe them: made again from their options, by the classes of this suite alone."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object

from downstream.digest import digest
from downstream.judge.address import recorded_digest
from downstream.judge.records import Record
from downstream.protocol import Judgement
from pretext.identity import identity_of
from pretextbench.commands import targets

LEAGUE = (
    "downstream.colorization.league.ColourLeague",
    "downstream.colorization.interpretability.SemanticInterpretability",
)
OLDER = re.compile(r"0\.[01]\.")
"""Versions whose addresses followed another rule."""
ROOM = "downstream."
"""Whose classes a record may name: a file names no code."""


class Unknown(Exception):
    """A judgement that is not this version's to make; the reason in a word or two."""


class Changed(Exception):
    """A record whose digests are not those of what it says."""


class Rebuilt:
    """The judgements of many records, each made once of options that are one object."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, str, int], Judgement | Unknown | Changed] = {}
        self._sound: set[tuple[object, ...]] = set()

    def of(self, record: Record) -> Judgement:
        """The judgement that a record is of.

        Raises:
            Unknown: a protocol, or a version of one, that is not here; options that were not kept.
            Changed: settings that are no digest of the options, or an address that is none of the evaluation.
        """
        e = record.evaluation
        key = (e.protocol, e.version, e.settings, id(e.options))
        if (found := self._made.get(key)) is None:
            found = self._made[key] = _tried(record)
        if isinstance(found, Exception):
            raise found
        on = "test" if found.legacy else "val"
        for field, said, due in (
            ("evaluation.task", e.task, found.task),
            ("evaluation.trains_encoder", e.trains_encoder, found.trains_encoder),
            ("result.selected_on", record.result.selected_on, on),
        ):
            if said != due:
                raise Changed(f"{field} of {e.protocol} is {due!r}, the record has {said!r}")
        parts = (*key, id(record.subject), id(record.data), e.digest, e.data, e.draw, e.precision)
        if parts not in self._sound:
            if recorded_digest(record, identity_of(found)) != e.digest:
                if OLDER.match(record.provenance.versions.get("pretextbench", "")):
                    raise Unknown("addressed as they were before 0.2.0")
                raise Changed("evaluation.digest is none of subject, data and evaluation: one was changed")
            self._sound.add(parts)
        return found


def _tried(record: Record) -> Judgement | Unknown | Changed:
    e = record.evaluation
    if not e.options:
        return Unknown("without the options of their protocol")
    kind = _kinds().get(str(e.options.get("class")))
    if kind is None:
        return Unknown("of a protocol that is not here")
    try:
        made: Judgement = _built(e.options, kind)
    except (TypeError, ValueError, KeyError):
        return Unknown(f"of options that {e.protocol} has not here")
    if made.version != e.version:
        return Unknown(f"of {e.protocol} v{e.version}, which is at v{made.version} here")
    if made.name != e.protocol:
        return Changed(
            f"evaluation.options are those of {made.name!r}, evaluation.protocol is {e.protocol!r}"
        )
    if digest(identity_of(made)) != e.settings:
        return Changed(f"evaluation.settings is no digest of {e.protocol} with evaluation.options")
    return made


def _built(fields: Mapping[str, Any], kind: Any) -> Any:
    given = {f.name for f in dataclasses.fields(kind) if f.init}
    return kind(**{name: _value(value) for name, value in fields.items() if name in given})


def _value(value: Any) -> Any:
    if isinstance(value, Mapping) and "class" in value:
        return _built(value, _named(str(value["class"])))
    if isinstance(value, list):
        return tuple(_value(each) for each in value)
    return value


@functools.cache
def _kinds() -> dict[str, type[Judgement]]:
    """The judgements of this suite by the names of their classes."""
    paths = {*targets("downstream").values(), *LEAGUE}
    kinds = [get_object(path) for path in sorted(paths) if path.startswith(ROOM)]
    return {kind.__qualname__: kind for kind in kinds}


@functools.cache
def _named(name: str) -> Any:
    """The dataclass of that name in what protocols are made of.

    Raises:
        KeyError: there is none, or there are several.
    """
    found = {
        kind
        for module in list(sys.modules)
        if module.startswith(ROOM)
        for kind in vars(sys.modules[module]).values()
        if isinstance(kind, type)
        and dataclasses.is_dataclass(kind)
        and kind.__qualname__ == name
        and kind.__module__.startswith(ROOM)
    }
    if len(found) != 1:
        raise KeyError(name)
    return found.pop()
