"""What was measured: one file a run, plain JSON, written whole or not at all.

An evaluation writes the per-example rows of each stage first (`rows/<sha256>.npz`), then one
`<evaluation digest>.json` whose records name those files. Any number of processes may write to one folder.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, MsgspecError
from numpy.typing import NDArray

from downstream.judge.plain import JSON, FieldError, Reader, check, from_plain, to_plain
from downstream.judge.upgrade import from_schema_1
from downstream.protocol import Direction, Predictions, Scale
from pretext.atomic import write_bytes

SCHEMA = 2
"""Version of the record format; `downstream.judge.upgrade` reads version 1, a reader refuses every other."""

BLIND = "blind:"
"""Prefix of `pretext` for predictors that look at no encoder."""


class RecordError(ValueError):
    """A record that cannot be trusted; the message names the file and the field."""


@dataclass(frozen=True)
class Subject:
    """Whose score it is: the encoder, by where it comes from.

    Attributes:
        pretext: name of the pretext task; `random` and `supervised` are the twins, `blind:…` has no encoder.
        backbone, input: the network and what it sees of an RGB image, each by its name and the arguments that
            differ from their defaults: "SmallNet", "TimmNet(model='convnext_atto')", "lightness(scale=1)".
        calibration: what was done to the trained weights without labels ("none", "batchnorm", …).
        pretraining: name of the image set; empty where there was none.
        pretraining_digest: its train split's digest; empty where unknown or none.
        budget: what the rows of a table are given alike ("4 epochs"); empty for what takes no training.
        images_seen: images pretraining took, repetitions counted.
        recipe: digest of everything that determines the run but its seed.
        twins: recipes of the runs that this one is read against, by their names; empty where nobody knows.
        run: digest of the run, seed included.
        seed: the pretraining seed.
        precision: of pretraining ("float32", "bf16-mixed").
    """

    pretext: str
    backbone: str
    input: str
    calibration: str
    pretraining: str
    pretraining_digest: str
    budget: str
    images_seen: int
    recipe: str
    twins: dict[str, str]
    run: str
    seed: int
    precision: str

    @property
    def blind(self) -> bool:
        """Whether this is a predictor that looks at no encoder."""
        return self.pretext.startswith(BLIND)


@dataclass(frozen=True)
class Evaluation:
    """Which score it is.

    Attributes:
        digest: of everything that determines the evaluation; shared by the records of one file.
        suite: the frozen benchmark whose settings these are; empty for one's own.
        data, split: the downstream set and the split that was scored.
        task: what the protocol judges, see `Protocol`.
        protocol, version: name and version; `settings` is the digest of all of its fields.
        options: those fields by name; empty where an older record did not keep them.
        trains_encoder: whether the protocol fine-tunes.
        stage: the stage the head stood on; empty for a blind predictor.
        metric: its name; `primary` marks the one tables show.
        draw: the seed of the head, nested in the pretraining seed.
        precision: of the evaluation.
    """

    digest: str
    suite: str
    data: str
    split: str
    task: str
    protocol: str
    version: int
    settings: str
    options: JSON
    trains_encoder: bool
    stage: str
    metric: str
    primary: bool
    draw: int
    precision: str


@dataclass(frozen=True)
class Data:
    """What it was measured on: digest and number of images by split, and height × width."""

    digests: dict[str, str]
    counts: dict[str, int]
    resolution: tuple[int, int]


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        value: the metric on the split, in `unit`; `direction` says which way is better.
        range: the least and the largest value there can be; None where there is no end.
        selected: whether this is the stage that was chosen on `selected_on`.
        setting: hyper-parameters chosen for this stage.
        val: the primary metric on val of that setting; None where nothing was selected.
        train: the primary metric on (part of) train; None for a stage that was not selected.
        chance: this metric of the best encoder-blind predictor that sees no more than the encoder; None on
            blind records.
        flags: what a reader must know ("head_untrained", "at_edge:lr", …).
        rows: SHA-256 of the file of per-example rows.
        resampled: the metric on bootstrap resamples of the images; entry b is the same resample in every
            record of one split. None where a resample does not define the metric; empty without any.
    """

    value: float
    unit: str
    direction: Annotated[str, Meta(pattern=rf"\A({'|'.join(way.value for way in Direction)})\Z")]
    range: tuple[float | None, float | None]
    selected: bool
    selected_on: str
    setting: dict[str, float | int | str]
    val: float | None
    train: float | None
    chance: float | None
    flags: tuple[str, ...]
    rows: str
    resampled: tuple[float | None, ...] = field(repr=False)

    @property
    def scale(self) -> Scale:
        """What the value means."""
        return Scale(self.unit, Direction(self.direction), self.range)


@dataclass(frozen=True)
class Effort:
    """What pretraining took, of all runs that led to the encoder: its own and those it started from.

    images: that went into steps, repetitions counted. views: images that the encoder saw in them, several a
    training image where a task takes several. flops: multiply-adds × 2 of all steps, the way back counted as
    twice the way there. seconds: wall time on `device`, validation included. An older run counted neither
    views nor flops: None.
    """

    images: int
    views: int | None
    flops: int | None
    seconds: float
    device: str


@dataclass(frozen=True)
class Cost:
    """What it took: wall seconds of fitting and predicting, test images predicted a second.

    peak_memory_mib is CUDA's peak during the evaluation, or the process's peak so far on a CPU.
    parameters and flops (multiply-adds × 2, one image) are the encoder's; 0 for a blind predictor.
    pretraining is None where nobody knows, or there was none.
    """

    seconds: float
    device: str
    peak_memory_mib: float
    images_per_second: float
    parameters: int
    flops: int
    pretraining: Effort | None


@dataclass(frozen=True)
class Provenance:
    """Where it came from. `scoring` digests the scoring code and only marks records as stale.

    weights: digest of the encoder's parameters and buffers as they were judged; empty for blind records.
    """

    config: JSON
    commit: str
    dirty: bool
    versions: dict[str, str]
    utc: str
    scoring: str
    weights: str


@dataclass(frozen=True)
class Record:
    """One score with all that it means; `subject` and `evaluation` together are its identity."""

    schema: int
    subject: Subject
    evaluation: Evaluation
    data: Data
    result: Result
    cost: Cost
    provenance: Provenance


def pack_rows(rows: Predictions) -> bytes:
    """Rows as the bytes of an `.npz`, the same bytes for the same rows, without pickle.

    Raises:
        RecordError: an array of Python objects.
    """
    for name, values in rows.items():
        if values.dtype.hasobject:
            raise RecordError(
                f"rows[{name!r}] holds Python objects; rows are arrays of numbers, booleans or text"
            )
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: rows[name] for name in sorted(rows)}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def write(folder: Path, records: Sequence[Record], rows: Mapping[str, bytes]) -> Path:
    """Write the records of one evaluation, rows first.

    Args:
        records: all of one evaluation digest.
        rows: packed rows by their SHA-256; every record's is among them.

    Raises:
        RecordError: records of several evaluations, a field out of type, a digest that does not fit its rows.
    """
    names = {record.evaluation.digest for record in records}
    if len(names) != 1:
        raise RecordError(f"one file holds the records of one evaluation, got {len(names)}: {sorted(names)}")
    path = folder / f"{names.pop()}.json"
    for record in records:
        _check(record, path)
        if record.result.rows not in rows:
            raise RecordError(f"{path.name}: result.rows: {record.result.rows} is not among the rows given")
    for name, content in rows.items():
        if hashlib.sha256(content).hexdigest() != name:
            raise RecordError(f"{path.name}: rows {name} have another SHA-256")
        write_bytes(rows_path(folder, name), content)
    lines = ",\n".join(_line(record) for record in records)  # one record a line: files can be compared
    write_bytes(path, f"[\n{lines}\n]\n".encode())
    return path


def rows_path(folder: Path, name: str) -> Path:
    """Where the rows of that SHA-256 lie."""
    return folder / "rows" / f"{name}.npz"


def read_rows(folder: Path, record: Record) -> dict[str, NDArray[Any]]:
    """Per-example rows of a record.

    Raises:
        RecordError: the file is not there or is not what the record names.
    """
    path = rows_path(folder, record.result.rows)
    again = f"delete {folder / record.evaluation.digest}.json to have both made again"
    if not path.exists():
        raise RecordError(f"{path}: the rows of {record.evaluation.digest} are not there; {again}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.result.rows:
        raise RecordError(f"{path}: its SHA-256 is not its name: the file was changed; {again}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def read(path: Path) -> list[Record]:
    """The records of one file.

    Raises:
        RecordError: not JSON, an unknown schema, a missing or unknown field, a value out of type or range.
    """
    return _read(path, _reader())


def read_all(folder: Path, on_error: Callable[[RecordError], None] | None = None) -> list[Record]:
    """All records of a folder, in the order of their file names; what is still being written is left out.

    Parts that several records have alike are one object: nobody may change what it holds.

    Args:
        on_error: called with the error of each file that cannot be read, which is then left out;
            without it the first such file raises.
    """
    records: list[Record] = []
    reader = _reader()
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            records += _read(path, reader)
        except RecordError as error:
            if on_error is None:
                raise
            on_error(error)
    return records


def picture_path(folder: Path, evaluation: str) -> Path:
    """Where the picture of an evaluation lies, if its head is visual."""
    return folder / f"{evaluation}.png"


def export_jsonl(records: Iterable[Record], path: Path) -> None:
    """Write records as JSON Lines, compressed where the name ends in `.gz`."""
    content = "".join(f"{_line(record)}\n" for record in records).encode()
    write_bytes(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def import_jsonl(path: Path) -> list[Record]:
    """Records of a JSON Lines file, as `export_jsonl` wrote them.

    Raises:
        RecordError: as `read`; the message counts lines from 0.
    """
    content = path.read_bytes()
    try:
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    except (OSError, EOFError) as error:
        raise RecordError(f"{path}: not JSON Lines: {error}") from error
    reader = _reader()
    return [_of_line(line, path, number, reader) for number, line in enumerate(lines)]


def _line(record: Record) -> str:
    return json.dumps(to_plain(record), allow_nan=False, ensure_ascii=False)


def _reader() -> Reader[Record]:
    return Reader(Record, ("subject", "data", "cost", "provenance"))


def _read(path: Path, reader: Reader[Record]) -> list[Record]:
    again = "delete it to have it measured again"
    try:
        content = path.read_bytes()
        records = _fast(reader.all, content)
        entries = json.loads(content) if records is None else records
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON ({error}): {again}") from error
    if not isinstance(entries, list) or not entries:
        raise RecordError(f"{path}: expected a list of records, got {type(entries).__name__}: {again}")
    if records is None:
        records = [_parse(entry, path, position) for position, entry in enumerate(entries)]
    for record in records:
        _in_range(record, f"{path}", again)
    return records


def _of_line(line: bytes, path: Path, number: int, reader: Reader[Record]) -> Record:
    one = _fast(lambda content: [reader.one(content)], line)
    if one is not None:
        record = one[0]
    else:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{path}: not JSON Lines: line {number}: {error}") from error
        record = _parse(entry, path, number)
    _in_range(record, f"{path}, line {number}", "no such score was ever kept")
    return record


def _in_range(record: Record, where: str, what_to_do: str) -> None:
    """Refuse what no measurement gives and no gate lets pass: a file that was changed by hand."""
    value, scale = record.result.value, record.result.scale
    if value not in scale:
        least, largest = scale.range
        raise RecordError(
            f"{where}: result.value {value} of {record.evaluation.metric} is not in its range from {least} "
            f"to {largest}: {what_to_do}"
        )


def _fast(read: Callable[[bytes], list[Record]], content: bytes) -> list[Record] | None:
    """Records of this schema; None for what is another's, or wrong: `_parse` reads it, or says why not."""
    try:
        records = read(content)
    except (MsgspecError, RecursionError):
        return None
    return records if all(record.schema == SCHEMA for record in records) else None


def _parse(entry: Any, path: Path, position: int) -> Record:
    schema = entry.get("schema") if isinstance(entry, dict) else None
    if type(schema) is not int or schema not in (1, SCHEMA):
        raise RecordError(
            f"{path}: record {position}: schema: this version reads 1 and {SCHEMA}, the file has {schema!r}"
        )
    try:
        return from_plain(Record, entry if schema == SCHEMA else from_schema_1(entry))
    except FieldError as error:
        raise RecordError(f"{path}: record {position}: {error}") from error


def _check(record: Record, path: Path) -> None:
    try:
        check(record)
    except FieldError as error:
        raise RecordError(f"{path.name}: {error}") from error
