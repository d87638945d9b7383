"""Records of several people as one collection: read where they lie, checked as anybody's, each score once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from downstream.judge.record_bytes import is_jsonl
from downstream.judge.record_files import files_of, line_of, read_placed
from downstream.judge.records import BLIND, Evaluation, Record, RecordError, Result
from downstream.protocol import Scale
from pretext.names import FORMULA, shown

Rows = tuple[Path, str]
"""The folder of records that a file of rows belongs to, and its SHA-256."""

Complain = Callable[[str], None]
"""Takes what is wrong, in words that name file and line."""

RESERVED = ("random", "supervised")
"""Names of the twins, which are runs of this suite; an encoder of somebody's own goes by another."""

TOLD = ("value", "unit", "direction", "range", "selected", "resampled")
"""What a table shows of a result: two records of one score must say the same of it."""

NOT_SHOWN = ("config", "options", "resampled")
"""Fields of free content, or of many numbers, that no table prints."""


LONGEST = 1000
"""Characters of a name that a table prints."""


class Found(NamedTuple):
    """A record, and where it stands.

    Attributes:
        path, place: its file, and its place in that from 0.
        folder: of the file; per-example rows lie in its `rows`, if they are at hand.
    """

    record: Record
    path: Path
    place: int
    folder: Path

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.path}, line {line_of(self.path, self.place)}"

    @property
    def rows(self) -> Rows:
        """What names its rows."""
        return self.folder, self.record.result.rows


class Collected(NamedTuple):
    """Records of which each score is there once, and how many more said the same."""

    found: list[Found]
    repeated: int


def gather(places: Iterable[Path], complain: Complain) -> list[Found]:
    """The records of some places: an `output=` folder, a folder of records, a file of either form.

    Args:
        complain: told of each place, file and record that is not as it has to be, which is left out.
    """
    found = []
    sound: dict[int, tuple[object, str]] = {}
    for place in places:
        try:
            paths = _files(place)
        except RecordError as error:
            complain(str(error))
            continue
        folders = {path: path.parent for path in paths}
        for path, at, record in read_placed(paths, lambda error: complain(str(error))):
            one = Found(record, path, at, folders[path])
            if problem := unfit(record, sound):
                complain(f"{one.where}: {problem}")
            else:
                found.append(one)
    return found


def once(found: Sequence[Found], at_hand: Callable[[Found], bool], complain: Complain) -> Collected:
    """Each score once: of records of one evaluation, run, stage and metric one whose rows are at hand.

    Args:
        complain: told of two that differ in what a table shows, and of two scales of one metric.
    """
    kept: dict[tuple[str, ...], Found] = {}
    scales: dict[tuple[object, ...], tuple[Scale, Found]] = {}
    for one in sorted(found, key=lambda each: not at_hand(each)):
        r, e = one.record.result, one.record.evaluation
        first = kept.setdefault((e.digest, one.record.subject.pretext, e.stage, e.metric), one)
        if first is not one:
            if told := _difference(first.record.result, r):
                complain(_of_two(first, one, told))
            continue
        scale, other = scales.setdefault(column_of(e), (r.scale, one))
        if scale != r.scale:
            complain(
                f"{other.where} and {one.where}: {e.protocol} v{e.version} on {e.data} has one scale for "
                f"{e.metric}; there it is {scale}, here {r.scale}"
            )
    return Collected(list(kept.values()), len(found) - len(kept))


def column_of(e: Evaluation) -> tuple[object, ...]:
    """What scores have alike that are read beside each other."""
    return e.data, e.task, e.protocol, e.version, e.settings, e.metric


def rows_at_hand(found: Iterable[Found]) -> frozenset[Rows]:
    """What rows there are beside these records; folders are listed once, files not asked for one by one."""
    folders = {one.folder for one in found}
    listed = {folder: folder / "rows" for folder in folders}
    return frozenset(
        (folder, path.stem) for folder, rows in listed.items() if rows.is_dir() for path in rows.glob("*.npz")
    )


def portable(record: Record) -> Record:
    """The record without where sets, results and encoders lie, which is the machine's affair."""
    config = {**record.provenance.config}
    if "output" in config:
        config["output"] = "outputs"
    if isinstance(encoder := config.get("encoder"), str) and Path(encoder).is_absolute():
        config["encoder"] = Path(encoder).name
    for name in ("data", "target"):
        given = config.get(name)
        if isinstance(given, Mapping) and given.get("root"):
            config[name] = {**given, "root": "data"}
    return replace(record, provenance=replace(record.provenance, config=config))


def _files(place: Path) -> list[Path]:
    """The files of records of a place.

    Raises:
        RecordError: nothing is there, or nothing of the kind.
    """
    if place.is_file():
        if is_jsonl(place) or place.suffix == ".json":
            return [place]
        raise RecordError(f"{place}: records lie in files of .jsonl, .jsonl.gz or .json")
    if not place.is_dir():
        raise RecordError(f"{place}: there is no such folder or file of records")
    folder = place / "records" if (place / "records").is_dir() else place
    if found := files_of(folder):
        return found
    others = sorted(path.name for path in place.iterdir() if is_jsonl(path))
    named = f"; name the files themselves: {', '.join(others)}" if others else ""
    raise RecordError(f"{place}: the folder holds no record{named}")


def unfit(record: Record, known: dict[int, tuple[object, str]] | None = None) -> str:
    """What of somebody's record may not stand in a table, or be printed, in words.

    Args:
        known: what was found of parts that several records have alike, by their addresses, and those parts,
            so that none goes and another takes its address.
    """
    known = {} if known is None else known
    for name in ("subject", "data", "cost", "provenance"):
        part = getattr(record, name)
        if id(part) not in known:
            known[id(part)] = part, unprintable(part, name)
        if problem := known[id(part)][1]:
            return problem
    return (
        unprintable(record.evaluation, "evaluation")
        or unprintable(record.result, "result")
        or _misnamed(record)
    )


def unprintable(part: Any, where: str) -> str:
    """The first text that moves a cursor, breaks a line or is computed; no configuration is printed."""
    for name, value in vars(part).items():
        if isinstance(value, str):
            texts: Iterable[tuple[str, object]] = ((name, value),)
        elif name in NOT_SHOWN or value is None or isinstance(value, int | float):
            continue
        elif isinstance(value, Mapping):
            texts = ((name, text) for pair in value.items() for text in pair)
        elif isinstance(value, tuple):
            texts = ((f"{name}[{place}]", text) for place, text in enumerate(value))
        else:
            if problem := unprintable(value, f"{where}.{name}"):
                return problem
            continue
        for at, text in texts:
            if isinstance(text, str) and not text.isprintable():
                return (
                    f"{where}.{at}: a name is printed as it is, and this has signs that cannot be: "
                    f"{shown(repr(text))}"
                )
            if isinstance(text, str) and text.startswith(tuple(FORMULA)):
                return (
                    f"{where}.{at}: spreadsheets compute what begins with one of {' '.join(FORMULA)}, and "
                    f"this does: {shown(repr(text))}"
                )
            if isinstance(text, str) and len(text) > LONGEST:
                return (
                    f"{where}.{shown(at)}: a name is printed as it is, in {LONGEST} characters at most, and "
                    f"this has {len(text)}: {shown(repr(text))}"
                )
    return ""


def _misnamed(record: Record) -> str:
    """A name of the twins', or of predictors without an encoder, for what is neither."""
    subject, job = record.subject, record.provenance.config.get("job")
    judged = isinstance(job, Mapping) and job.get("name") == "evaluate"
    if judged and (subject.pretext in RESERVED or subject.blind):
        return (
            f"subject.pretext: {subject.pretext!r} is reserved: {', '.join(RESERVED)} and {BLIND}… are what "
            "other rows are read against, and this is an encoder of one's own (job=evaluate)"
        )
    if subject.blind and (subject.backbone or subject.input or subject.images_seen):
        return (
            f"subject.pretext: {subject.pretext!r} is reserved for predictors that look at no encoder, and "
            f"this has one: backbone {subject.backbone!r}, input {subject.input!r}, {subject.images_seen} "
            "images seen"
        )
    return ""


def _difference(mine: Result, theirs: Result) -> str:
    """The first field that a table shows and that is not the same, with both values."""
    for name in TOLD:
        own, other = getattr(mine, name), getattr(theirs, name)
        if own != other:
            return f"result.{name}: {_brief(own)} and {_brief(other)}"
    return ""


def _of_two(first: Found, second: Found, what: str) -> str:
    r = first.record
    return (
        f"{first.where} and {second.where}: {r.subject.pretext} seed {r.subject.seed}, "
        f"{r.evaluation.protocol} on {r.evaluation.data}, {r.evaluation.metric}: one score with two {what}"
    )


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
