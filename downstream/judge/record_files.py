"""Records in files: one file a run, plain JSON, written whole or not at all; and in JSON Lines, to be shared.

An evaluation writes the per-example rows of each stage first (`rows/<sha256>.npz`), then one
`<evaluation digest>.json` whose records name those files. Any number of processes may write to one folder.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec import MsgspecError
from numpy.typing import NDArray

from downstream.judge.plain import FieldError, Reader, check, from_plain, to_plain
from downstream.judge.record_bytes import LARGEST, content_of, is_jsonl, lines_of, parsed
from downstream.judge.records import SCHEMA, Record, RecordError
from downstream.judge.sound import unsound
from downstream.judge.upgrade import from_schema_1
from downstream.protocol import Predictions
from pretext.atomic import write_bytes

ZIP = b"PK"
"""What a .npz begins with."""

_GAP = re.compile(r"[\s,]*")
"""What stands between the entries of a list."""


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
    """Per-example rows of a record of one's own.

    Raises:
        RecordError: the file is not there or is not what the record names.
    """
    path = rows_path(folder, record.result.rows)
    again = f"delete {folder / record.evaluation.digest}.json to have both made again"
    if not path.exists():
        raise RecordError(f"{path}: the rows of {record.evaluation.digest} are not there; {again}")
    try:
        return unpack_rows(path)
    except RecordError as error:
        raise RecordError(f"{error}; {again}") from error


def unpack_rows(path: Path) -> dict[str, NDArray[Any]]:
    """Rows as they were written; anybody's file may be given.

    Raises:
        RecordError: its SHA-256 is not its name, it is no file of rows, or one of more than `LARGEST` bytes.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise RecordError(f"{path}: its SHA-256 is not its name: the file was changed")
    if not content.startswith(ZIP):
        raise RecordError(f"{path}: no rows, which are arrays in a .npz")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            size = sum(each.file_size for each in arrays.zip.infolist())
            if size <= LARGEST:
                return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f"{path}: no rows: {error}") from error
    raise RecordError(f"{path}: {size:,} bytes unpacked, more than {LARGEST:,}")


def read(path: Path) -> list[Record]:
    """The records of one file.

    Raises:
        RecordError: not JSON, an unknown schema, a missing or unknown field, a value out of type or range.
    """
    try:
        return _read(path, _reader())
    except RecordError as error:
        raise _to_be_made(error) from error


def read_all(folder: Path, on_error: Callable[[RecordError], None] | None = None) -> list[Record]:
    """All records of a folder, in the order of their file names; what is still being written is left out.

    Parts that several records have alike are one object: nobody may change what it holds.

    Args:
        on_error: called with the error of each file that cannot be read, which is then left out;
            without it the first such file raises.
    """

    def tell(error: RecordError) -> None:
        if on_error is None:
            raise _to_be_made(error) from error
        on_error(_to_be_made(error))

    return [record for _, _, record in read_placed(files_of(folder), tell)]


def _to_be_made(error: RecordError) -> RecordError:
    """An error of records of one's own, with what to do about it."""
    return RecordError(f"{error}: delete it to have it measured again")


def files_of(folder: Path) -> list[Path]:
    """The files of records in a folder, in the order of their names."""
    return sorted(folder.glob("[!.]*.json"))


def read_placed(
    paths: Iterable[Path], on_error: Callable[[RecordError], None] | None = None
) -> Iterator[tuple[Path, int, Record]]:
    """The records of files as runs or `export_jsonl` write them: file, place in it from 0, record.

    Args:
        on_error: called with the error of each file, or line of JSON Lines, that cannot be read, which is
            then left out; without it the first one raises.
    """
    reader = _reader()
    for path in paths:
        try:
            if is_jsonl(path):
                found: Iterable[tuple[int, Record]] = _lines(path, reader, on_error)
            else:
                found = enumerate(_read(path, reader))
        except RecordError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        for place, record in found:
            yield path, place, record


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
        RecordError: as `read`; the message counts lines from 1.
    """
    return [record for _, record in _lines(path, _reader())]


def line_of(path: Path, place: int) -> int:
    """The line, from 1, that a record of a file begins on.

    Args:
        place: of the record, from 0; the file was read before.
    """
    return place + 1 if is_jsonl(path) else _line_in(path.read_bytes(), place)


def _line(record: Record) -> str:
    return json.dumps(to_plain(record), allow_nan=False, ensure_ascii=False)


def _reader() -> Reader[Record]:
    return Reader(Record, ("subject", "data", "cost", "provenance"))


def _read(path: Path, reader: Reader[Record]) -> list[Record]:
    content = content_of(path)
    records = _fast(reader.all, content)
    entries = parsed(content, path) if records is None else records
    if not isinstance(entries, list):
        what = "one object" if isinstance(entries, dict) else _named(entries)
        raise RecordError(f"{path}: a list of records was expected, got {what}")
    if not entries:
        raise RecordError(f"{path}: an empty list holds no record")
    if records is None:
        records = [_parse(entry, _Where(path, place)) for place, entry in enumerate(entries)]
    for place, record in enumerate(records):
        if problem := unsound(record):
            raise RecordError(f"{_Where(path, place)}: {problem}")
    return records


class _Where(NamedTuple):
    """A record's place in a file, whose line is counted where it is said."""

    path: Path
    place: int

    def __str__(self) -> str:
        return f"{self.path}, line {line_of(*self)}"


def _lines(
    path: Path, reader: Reader[Record], on_error: Callable[[RecordError], None] | None = None
) -> list[tuple[int, Record]]:
    """Records of JSON Lines with their places, but those whose error was told."""
    found = []
    for place, line in enumerate(lines_of(path)):
        if not line.strip():
            continue  # as editors leave at the end
        try:
            found.append((place, _of_line(line, _Where(path, place), reader)))
        except RecordError as error:
            if on_error is None:
                raise
            on_error(error)
    return found


def _line_in(content: bytes, place: int) -> int:
    """The line, from 1, on which an entry of a list begins."""
    text = content.decode(json.detect_encoding(content), "surrogatepass")  # as json.loads does
    decode = json.JSONDecoder().raw_decode
    at = _GAP.match(text, text.index("[") + 1)
    for _ in range(place):
        assert at is not None
        _, end = decode(text, at.end())
        at = _GAP.match(text, end)
    assert at is not None
    return text.count("\n", 0, at.end()) + 1


def _of_line(line: bytes, where: _Where, reader: Reader[Record]) -> Record:
    one = _fast(lambda content: [reader.one(content)], line)
    record = one[0] if one else _parse(parsed(line, where.path, where.place + 1), where)
    if problem := unsound(record):
        raise RecordError(f"{where}: {problem}")
    return record


def _fast(read: Callable[[bytes], list[Record]], content: bytes) -> list[Record] | None:
    """Records of this schema; None for what is another's, or wrong: `_parse` reads it, or says why not."""
    try:
        records = read(content)
    except (MsgspecError, RecursionError):
        return None
    return records if all(record.schema == SCHEMA for record in records) else None


def _parse(entry: Any, where: _Where) -> Record:
    if not isinstance(entry, dict):
        raise RecordError(f"{where}: no record, but {_named(entry)}")
    schema = entry.get("schema")
    if type(schema) is not int or schema not in (1, SCHEMA):
        known = f"this version reads 1 and {SCHEMA}"
        raise RecordError(f"{where}: schema: {known}, the file has {_brief(schema)}")
    try:
        return from_plain(Record, entry if schema == SCHEMA else from_schema_1(entry))
    except FieldError as error:
        raise RecordError(f"{where}: {error}") from error
    except RecursionError as error:
        raise RecordError(f"{where}: nested too deeply for a record") from error


def _named(entry: Any) -> str:
    if isinstance(entry, list):
        return "a list"
    return "a text" if isinstance(entry, str) else _brief(entry)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _check(record: Record, path: Path) -> None:
    try:
        check(record)
    except FieldError as error:
        raise RecordError(f"{path.name}: {error}") from error
