"""Kept heads and the encoders that they stand on."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from downstream.judge.kept import RECORD, KeptHead, NoEncoder, described, open_kept
from downstream.judge.record_files import import_jsonl
from downstream.judge.records import RecordError
from pretext.encoder import Encoder, open_encoder
from pretext.names import shown


def open_head(folder: Path, encoder: Encoder | None, device: torch.device) -> KeptHead:
    """Open a kept head; without an encoder, on the run's that lies beside it under one output folder.

    Raises:
        FileNotFoundError: no head there.
        ValueError: as `open_kept`, or no encoder beside it.
    """
    try:
        return open_kept(folder, encoder, device)
    except FileNotFoundError as error:
        raise _with_those_inside(error, folder) from None
    except NoEncoder as error:
        beside = _beside(folder)
        if beside is None:
            how = "give it: pretextbench.open_head(folder, module)" if error.own else "name it by encoder="
            raise ValueError(f"{error}: {how}") from None
        return open_kept(folder, beside, device)


def check_head(folder: Path) -> None:
    """Refuse what is no head by its files, before its encoder is opened, which may read data.

    Raises:
        FileNotFoundError: no head there. ValueError: as `described`.
    """
    try:
        described(folder)
    except FileNotFoundError as error:
        raise _with_those_inside(error, folder) from None


def _with_those_inside(error: FileNotFoundError, folder: Path) -> FileNotFoundError:
    """The error of a folder that is no head, with the heads that lie in it."""
    return FileNotFoundError("; ".join((str(error), *_inside(folder))))


def _inside(folder: Path) -> list[str]:
    """The heads that lie in a folder, each with what it is of."""
    found = []
    for path in sorted(folder.glob(f"*/{RECORD}")):
        try:
            (record,) = import_jsonl(path)
        except (RecordError, ValueError):
            continue  # which would be refused as well
        s, e = record.subject, record.evaluation
        what = f"{shown(e.protocol)} of {shown(s.pretext)} (seed {s.seed}) on {shown(e.data)}"
        found.append(f"head={path.parent} is {what}")
    return found


def _beside(folder: Path) -> Encoder | None:
    """The encoder, among the runs of the output folder that a head lies in, that it was fitted on."""
    (record,) = import_jsonl(folder / RECORD)
    for description in sorted((folder.resolve().parent.parent / "runs").glob("*/encoder.json")):
        try:
            if json.loads(description.read_bytes())["digest"] == record.provenance.weights:
                return open_encoder(str(description.parent))
        except (ValueError, KeyError, TypeError):
            continue  # a run that is damaged is not the one
    return None


def resolution(folder: Path) -> tuple[int, int]:
    """Height and width of the images that a head was fitted on, as its record says.

    Raises:
        FileNotFoundError: no head there. RecordError: a record that cannot be read.
    """
    return import_jsonl(folder / RECORD)[0].data.resolution
