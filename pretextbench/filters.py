"""Which records a table is of: chosen by `suite=`, `pretext=`, `data=`, `data@target=`, and by any field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from downstream.judge.records import Record
from downstream.leaderboard import fields

TWINS = ("random", "supervised")
CHOOSING = {
    "pretext": "pretext", "pretext.name": "pretext", "data": "data", "data.name": "data",
    "data@target": "data@target", "target.name": "data@target", "suite": "suite",
}  # fmt: skip
"""Keys that choose rows, a name before the option it belongs to."""
OWN = {
    "leaderboard": "leaderboard.…= what stands beside them",
    "plan": "plan.…= what is asked of them",
}
"""What a job's own keys choose."""
READ = ("job", "output", "records", "logger", "cache_gb", "verify", "dry_run")
"""Keys beside them that choose no rows and look as little like it; so do settings of a part, with a dot."""


def asked(overrides: Sequence[str], job: str = "leaderboard") -> dict[str, str]:
    """What the command line chooses rows by.

    Raises:
        ValueError: a key that the job does not read and that looks as if it chose rows.
    """
    found: dict[str, str] = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element().lstrip("+~")
        if key in CHOOSING:
            if key.endswith(".name") or CHOOSING[key] not in found:
                found[CHOOSING[key]] = str(override.value())
        elif "." not in key and key not in READ:
            raise ValueError(
                f"job={job} is of what was recorded and does not read {key}; suite=, pretext=, data= and "
                f"data@target= choose rows, output= or records=[…] the records, {OWN[job]}"
            )
    return found


def chosen(
    records: Sequence[Record], by: Mapping[str, str], where: Mapping[str, Sequence[Any]] | None = None
) -> list[Record]:
    """Records of the rows that were asked for.

    Args:
        where: as in `narrowed`, of what `by` leaves.
        by: as in the main job `data` is the set that was pretrained on, and judged on where `data@target`
            names no other. The twins and the predictors without an encoder stay beside every `pretext`.

    Raises:
        ValueError: nothing was recorded by one of these names; the message lists what was, and what those
            before it left.
    """
    every = len(records)
    before: list[str] = []
    task, seen = by.get("pretext"), by.get("data") if "data@target" in by else None
    judged = by.get("data@target", by.get("data"))
    if suite := by.get("suite", "").partition("/")[0]:
        of_suite = [r for r in records if r.evaluation.suite.partition(" ")[0] == suite]
        _some(of_suite, "of suite", suite, [r.evaluation.suite for r in records], before)
        records = of_suite
        before.append(f"suite={suite} left {len(records)} of {every} records")
    kept = [r for r in records if judged in (None, r.evaluation.data)]
    _some(kept, "judged on", judged, [r.evaluation.data for r in records], before)
    if judged is not None:
        before.append(f"data judged on, {judged}, left {len(kept)} of {len(records)}")
    encoders = [r for r in kept if not r.subject.blind]
    own = [r for r in encoders if seen in (None, r.subject.pretraining)]
    if seen is not None:
        _some(own, "pretrained on", seen, [r.subject.pretraining for r in encoders], before)
        before.append(f"data pretrained on, {seen}, left {len(own)} of {len(encoders)}")
    if task is not None:
        named = [r for r in own if r.subject.pretext == task]
        _some(named, "of", task, [r.subject.pretext for r in own], before)
        own = [r for r in own if r.subject.pretext in (task, *TWINS)]
        before.append(f"pretext={task} left {len(own)} of {len(encoders)}")
    return narrowed([r for r in kept if r.subject.blind] + own, where or {}, before)


def narrowed(
    records: Sequence[Record], where: Mapping[str, Sequence[Any]], before: Sequence[str] = ()
) -> list[Record]:
    """Records that have one of the values asked for in each field, or to which the field does not apply.

    A predictor without an encoder has no network that could be another, what takes no training no budget.

    Args:
        where: values by the name of a field, see `downstream.leaderboard.fields`.
        before: what earlier filters left, in words.

    Raises:
        ValueError: no field of that name; a value that no record has, of those that the filters before left.
    """
    kept, told = list(records), list(before)
    for name, values in where.items():
        field = fields.field(name, records)
        own = {id(r): said(field.of(r)) for r in kept if field.applies(r)}
        any_of = list(map(said, values))
        for value in any_of:
            _some(value in own.values(), "with", f"{name}={value}", own.values(), told)
        left = [r for r in kept if id(r) not in own or own[id(r)] in any_of]
        told.append(f"{name}={','.join(any_of)} left {len(left)} of {len(kept)}")
        kept = left
    return kept


def said(value: Any) -> str:
    """A value as it is compared: as text, whole."""
    return value if isinstance(value, str) else fields.text(value)


def _some(
    found: Sequence[Record] | bool, what: str, name: str | None, names: Iterable[str], before: Sequence[str]
) -> None:
    if not found:
        known = ", ".join(map(str, fields.in_order({known for known in names if known}))) or "nothing"
        left = f" ({'; '.join(before)})" if before else ""
        raise ValueError(f"no record {what} {name!r}; recorded: {known}{left}")
