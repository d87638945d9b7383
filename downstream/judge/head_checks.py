"""What a kept head says of itself, held to its record; and that record to its own digests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from downstream.digest import digest
from downstream.head import Form, WithHead
from downstream.judge.address import recorded_digest
from downstream.judge.records import Record
from downstream.judge.shared import unfit
from downstream.judge.sound import unsound
from pretext.data.split import make_split
from pretext.encoder import Encoder
from pretext.identity import identity_of


def check_record(record: Record, protocol: WithHead) -> None:
    """The record is of that protocol, and names nothing that its digest does not.

    Raises:
        ValueError: names the field, what it says and what it should.
    """
    if problem := unsound(record) or unfit(record):
        raise ValueError(problem)
    e = record.evaluation
    if digest(identity_of(protocol)) != e.settings:
        raise ValueError(f"it has other settings than its record of {e.protocol} v{e.version}")
    if (protocol.name, protocol.version, protocol.task) != (e.protocol, e.version, e.task):
        raise ValueError(
            f"its record is of {e.protocol!r} v{e.version}, a {e.task} protocol, and its settings are of "
            f"{protocol.name!r} v{protocol.version}, of {protocol.task}"
        )
    if recorded_digest(record, identity_of(protocol)) != e.digest:
        raise ValueError("evaluation.digest is none of subject, data and evaluation: one was changed")


def check_form(form: Form, names: Sequence[str], whole: bool, protocol: WithHead, record: Record) -> None:
    """The description is of the head that the record is of.

    Raises:
        ValueError: as above.
    """
    if form.size != record.data.resolution:
        raise ValueError(
            f"form.size is {list(form.size)}, and its record is of images of "
            f"{list(record.data.resolution)} (height, width)"
        )
    if names and len(names) < form.classes:
        raise ValueError(f"names has {len(names)}; there is one for each of {form.classes} classes, or none")
    images = protocol.task == "classification"
    if not (whole or images):
        raise ValueError(f"whole is false; images of {protocol.task} are shown whole")
    if form.several and not images:
        raise ValueError(f"form.several is true, which is of classification alone, not of {protocol.task}")
    if images and (wanted := _primary(protocol, form)) != record.evaluation.metric:
        raise ValueError(
            f"form.several is {str(form.several).lower()}: {protocol.name} judges that by {wanted!r}, and "
            f"its record has {record.evaluation.metric!r}"
        )


def check_encoder(encoder: Encoder, record: Record) -> None:
    """An encoder that a description builds is the one that the record names.

    Raises:
        ValueError: as above.
    """
    s = record.subject
    for part, found, wanted in (
        ("backbone", encoder.network, s.backbone),
        ("input", encoder.sees, s.input),
    ):
        if found != wanted:
            raise ValueError(f"encoder.{part} is {found}, and its record is of {wanted}")


def _primary(protocol: WithHead, form: Form) -> str:
    """The metric that a protocol goes by where images have one class, or several, of two."""
    labels = np.eye(2, dtype=np.uint8) if form.several else np.arange(2)
    return next(iter(protocol.metrics(make_split("test", np.zeros((2, 1, 1, 3), np.uint8), labels=labels))))
