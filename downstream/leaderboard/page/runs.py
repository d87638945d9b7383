"""What is behind the rows of a board: runs, evaluations, what they took, where they came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from downstream.digest import short
from downstream.judge.records import Effort, Record
from downstream.leaderboard.board import Column, RowKey
from downstream.leaderboard.tables import column_of, flags_of, row_of

DIGITS = 6
"""Significant digits of a number; a table shows three."""


def rounded(value: float | None) -> float | None:
    """A number as short as it may be."""
    return value if value is None or type(value) is int else float(f"{value:.{DIGITS}g}")


class Table:
    """Values that many have, each once."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._places: dict[Any, int] = {}

    def place(self, key: Any, make: Callable[[], Any]) -> int:
        """Where the value of this key stands; it is made when it is first asked for."""
        if (place := self._places.get(key)) is None:
            place = self._places[key] = len(self.items)
            self.items.append(make())
        return place


class Origins:
    """Where records came from: commit, versions, configuration, and the command that makes them again."""

    def __init__(self, command: Callable[[Record], str] | None = None) -> None:
        self.origins, self.values = Table(), Table()
        self._command = command
        self._configs: dict[bytes, dict[str, int]] = {}

    def place(self, record: Record) -> int:
        """Where the origin of a record stands among `origins`; its configuration's parts are in `values`."""
        return self.origins.place((id(record.provenance), record.subject.run), lambda: self._plain(record))

    def _plain(self, record: Record) -> dict[str, Any]:
        own = record.provenance
        return {
            "commit": own.commit,
            "dirty": own.dirty,
            "utc": own.utc,
            "scoring": short(own.scoring),
            "weights": short(own.weights),
            "run": record.subject.run,
            "evaluation": record.evaluation.digest,
            "suite": record.evaluation.suite,
            "versions": self._kept(own.versions),
            "config": self._config(own.config),
            "command": self._command(record) if self._command else "",
        }

    def _config(self, config: Mapping[str, Any]) -> dict[str, int]:
        """Where each part of a configuration stands: runs share most of theirs, evaluations of a run all."""
        encoded = msgspec.json.encode(config)
        if (found := self._configs.get(encoded)) is None:
            found = self._configs[encoded] = {name: self._kept(value) for name, value in config.items()}
        return found

    def _kept(self, value: Any) -> int:
        encoded = msgspec.json.encode(value)
        return self.values.place(encoded, lambda: msgspec.Raw(encoded))


class Scored(NamedTuple):
    """The chosen stage of one encoder under one protocol, with one draw of the head: records by metric."""

    row: RowKey
    column: Column
    record: Record
    metrics: Mapping[str, Record]


def scored(records: Iterable[Record]) -> list[Scored]:
    """The newest of each row, column, seed and draw, as a board takes them."""
    rows: dict[int, RowKey] = {}
    files: dict[tuple[str, RowKey, str, int], dict[str, Record]] = defaultdict(dict)
    for record in records:
        if not record.result.selected:
            continue
        subject, evaluation = record.subject, record.evaluation
        if (row := rows.get(id(subject))) is None:
            row = rows[id(subject)] = row_of(subject)
        files[evaluation.digest, row, evaluation.stage, evaluation.draw][evaluation.metric] = record
    found = [
        Scored(row, column_of(record), record, metrics)
        for (_, row, _, _), metrics in files.items()
        for record in metrics.values()
        if record.evaluation.primary
    ]
    found.sort(key=lambda each: (each.record.provenance.utc, each.record.evaluation.digest))
    newest = {(s.row, s.column, s.record.subject.seed, s.record.evaluation.draw): s for s in found}
    return list(newest.values())


def metrics_beside(columns: Sequence[Column], found: Iterable[Scored]) -> list[dict[str, Record]]:
    """By column, its metrics beside the one that a table shows, each with a record of it."""
    beside: dict[Column, dict[str, Record]] = defaultdict(dict)
    for each in found:
        for name, record in each.metrics.items():
            if not record.evaluation.primary:
                beside[each.column._replace(precision="")].setdefault(name, record)
    return [beside[column._replace(precision="")] for column in columns]


def rows_data(
    columns: Sequence[Column],
    found: Sequence[Scored],
    beside: Sequence[Mapping[str, Record]],
    origins: Origins,
) -> dict[RowKey, dict[str, Any]]:
    """By row, who it is, what its pretraining took, and each of its evaluations."""
    own: dict[RowKey, list[Scored]] = defaultdict(list)
    for each in found:
        own[each.row].append(each)
    places: dict[Column, list[int]] = defaultdict(list)
    for place, column in enumerate(columns):
        for same in {column, column._replace(precision="")}:  # a blind predictor's is of every precision
            places[same].append(place)
    return {row: _row(row, mine, places, beside, origins) for row, mine in own.items()}


def _row(
    row: RowKey,
    own: Sequence[Scored],
    places: Mapping[Column, Sequence[int]],
    beside: Sequence[Mapping[str, Record]],
    origins: Origins,
) -> dict[str, Any]:
    subject, cost = own[-1].record.subject, own[-1].record.cost
    ordered = sorted(own, key=lambda s: (places[s.column], s.record.subject.seed, s.record.evaluation.draw))
    return {
        "pretext": row.pretext,
        "backbone": row.match.backbone,
        "input": row.match.input,
        "calibration": row.calibration,
        "pretraining": row.match.pretraining,
        "images": short(row.match.images),
        "budget": row.match.budget,
        "images_seen": row.images_seen,
        "recipe": row.recipe,
        "twins": subject.twins,
        "precision": subject.precision,
        "parameters": cost.parameters,
        "flops": cost.flops,
        "effort": _effort(own),
        "evaluations": [
            {"column": place, **_evaluation(each, beside[place], origins)}
            for each in ordered
            for place in places[each.column]
        ],
    }


def _effort(own: Iterable[Scored]) -> dict[str, Any] | None:
    """What pretraining took, the mean over seeds; None where no record says so."""
    by_seed: dict[int, Effort] = {}
    for each in own:
        if each.record.cost.pretraining is not None:
            by_seed[each.record.subject.seed] = each.record.cost.pretraining
    if not by_seed:
        return None
    efforts = list(by_seed.values())
    return {
        **{
            name: _mean([getattr(e, name) for e in efforts])
            for name in ("images", "views", "flops", "seconds")
        },
        "device": ", ".join(sorted({e.device for e in efforts})),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return rounded(sum(known) / len(known)) if known else None


def _evaluation(each: Scored, beside: Iterable[str], origins: Origins) -> dict[str, Any]:
    record = each.record
    e, result, cost = record.evaluation, record.result, record.cost
    others = (each.metrics.get(name) for name in beside)
    return {
        "seed": record.subject.seed,
        "draw": e.draw,
        "stage": e.stage,
        "value": rounded(result.value),
        "val": rounded(result.val),
        "train": rounded(result.train),
        "chance": rounded(result.chance),
        "selected_on": result.selected_on,
        "setting": result.setting,
        "flags": flags_of(record),
        "seconds": rounded(cost.seconds),
        "device": cost.device,
        "memory": rounded(cost.peak_memory_mib),
        "speed": rounded(cost.images_per_second),
        "origin": origins.place(record),
        "beside": [rounded(other.result.value) if other else None for other in others],
    }
