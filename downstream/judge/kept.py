"""Heads on disk: what was fitted beside its record, whole or not there, and opened again for new images.

The folder of a head is named by its evaluation. It holds `head.safetensors`, `record.jsonl` (the score of the
selected stage by the primary metric) and, written last, `head.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor

from downstream.digest import digest, short
from downstream.head import Form, Head, Prediction, WithHead
from downstream.judge.head_checks import check_encoder, check_form, check_record
from downstream.judge.plain import JSON, from_plain, to_plain
from downstream.judge.record_files import export_jsonl, import_jsonl
from downstream.judge.records import Record, RecordError
from downstream.judge.restored import named_settings, restored
from downstream.protocol import Fitted, Predictions, Protocol, Runtime
from downstream.tuning.rates import TunedProtocol
from pretext.atomic import write_bytes, write_json
from pretext.data.canvas import Canvas
from pretext.data.dataset import DataSet, Split
from pretext.data.split import make_split
from pretext.data.square import Square
from pretext.encoder import Encoder, untrained

FORMAT = 1
WEIGHTS, RECORD, DESCRIPTION = "head.safetensors", "record.jsonl", "head.json"
NAMED = 3
"""Tensors that an error names at most."""
OWN = "pretext.foreign.module.Whole"
"""The class of a module of one's own, which no file can build."""
MOST = 4096
"""Pixels a side that images of a head have at most."""


class NoEncoder(ValueError):
    """A head that stands on a frozen encoder, or a module of one's own, which was not given.

    Attributes:
        own: whether it is a module of one's own, which nothing but Python can give.
    """

    def __init__(self, said: str, own: bool) -> None:
        super().__init__(said)
        self.own = own


@dataclass(frozen=True)
class About:
    """What `head.json` says.

    Attributes:
        protocol: see `named_settings`. encoder: the architecture of the encoder that was judged.
        names: of the classes, by label.
        whole: whether images of any size are shown whole, on a `Canvas`; else their centre, as `Square`.
        weights_sha256, record_sha256: of the files beside it. digest: of all the rest of this one.
    """

    format: int
    protocol: JSON
    encoder: JSON
    form: Form
    names: tuple[str, ...]
    whole: bool
    weights_sha256: str
    record_sha256: str
    digest: str


def keeps(protocol: Protocol) -> bool:
    """Whether a head of this protocol can be kept; `Protocol.headless` says why not."""
    return isinstance(protocol, WithHead)


def is_kept(folder: Path, record: Record) -> bool:
    """Whether the head of that very record lies in a folder."""
    try:
        return (folder / DESCRIPTION).is_file() and import_jsonl(folder / RECORD) == [record]
    except (OSError, RecordError):
        return False


def keep(
    folder: Path, fitted: Fitted, protocol: Protocol, encoder: Encoder, data: DataSet, record: Record
) -> None:
    """Write what was fitted on an encoder, and the record of its score.

    Args:
        folder: of this head alone; made if missing.
        encoder: as it was judged.
        record: of the selected stage, by the primary metric.

    Raises:
        TypeError: a protocol that keeps no head.
        OSError: a disk that takes no more; then no head is there.
    """
    head = fitted.head
    if head is None:
        raise TypeError(f"{protocol.name} keeps no head: {protocol.headless}")
    height, width = data.test.pixels.shape[1:3]
    task, labels = protocol.task, data.train.labels
    content = safetensors_save({k: v.detach().cpu().contiguous().clone() for k, v in head.tensors().items()})
    (folder / DESCRIPTION).unlink(missing_ok=True)  # of another head: nothing may be there by halves
    write_bytes(folder / WEIGHTS, content)
    export_jsonl([record], folder / RECORD)
    about = {
        "format": FORMAT,
        "protocol": named_settings(protocol),
        "encoder": encoder.architecture,
        "form": to_plain(
            Form(
                stage=fitted.stage,
                setting=fitted.selected,
                classes=head.classes,
                several=task == "classification" and labels is not None and labels.ndim == 2,
                size=(int(height), int(width)),
            )
        ),
        "names": list(_names(data, task)),
        "whole": task != "classification" or Canvas(height, width).note() in data.notes,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "record_sha256": hashlib.sha256((folder / RECORD).read_bytes()).hexdigest(),
    }
    write_json(folder / DESCRIPTION, about | {"digest": digest(about)})


def _names(data: DataSet, task: str) -> tuple[str, ...]:
    named = {"detection": data.box_names, "segmentation": data.mask_names}
    return named.get(task, data.label_names)


class KeptHead:
    """A head that was fitted once, with its encoder: predicts images.

    Attributes:
        record: of the score that it has on test.
        names: of its classes, by label.
        size: (height, width) of the images that it takes.
    """

    def __init__(self, head: Head, record: Record, about: About, runtime: Runtime) -> None:
        self.record = record
        self.names = about.names
        self.size = about.form.size
        self._head, self._whole, self._runtime = head, about.whole, runtime

    def __str__(self) -> str:
        s, e, result = self.record.subject, self.record.evaluation, self.record.result
        value = f"{result.value:.1%}" if result.unit == "fraction" else f"{result.value:g} {result.unit}"
        return (
            f"{e.protocol} of {s.pretext} (seed {s.seed}) on {e.stage}: {e.metric} {value} on the "
            f"{self.record.data.counts[e.split]} {e.split} images of {e.data}"
        )

    def __call__(self, images: Tensor | NDArray[np.uint8]) -> Prediction:
        """Predict images.

        Args:
            images: RGB, (B, 3, H, W) floating point in [0, 1], taken to 256 levels, or (B, H, W, 3) uint8,
                of `size`; see `photograph` for others.

        Returns: `ClassScores`, `PixelClasses` or `FoundObjects`, by what the protocol judges.

        Raises:
            TypeError: neither a tensor nor an array. ValueError: images of another form, size or range.
        """
        with self._anywhere() as runtime:
            return self._head.predict(make_split("images", self._levels(images)), runtime)

    def photograph(self, image: NDArray[np.uint8]) -> Prediction:
        """Predict one image (H, W, 3) uint8 of any size; boxes and masks are in its own pixels.

        Raises:
            TypeError: no array. ValueError: an array of another form.
        """
        if not isinstance(image, np.ndarray):
            raise TypeError(
                f"an image is an array (H, W, 3) of uint8, not a {type(image).__name__}: np.asarray(…)"
            )
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"an image is (H, W, 3) of uint8, got {image.shape} of {image.dtype}")
        height, width = image.shape[:2]
        canvas = Canvas(*self.size)
        if not self._whole and self.size[0] == self.size[1]:
            square = Square(self.size[0], upscale=True)
            return self(square.fit(image, (height, width))[None])
        return self(canvas.place(image)[None]).off(canvas, height, width)

    def rows(self, split: Split) -> Predictions:
        """Rows of labelled images, as the protocol scores them.

        Raises:
            ValueError: labels that are not those that the head was fitted for.
        """
        with self._anywhere() as runtime:
            return self._head.rows(split, runtime)

    @contextmanager
    def _anywhere(self) -> Iterator[Runtime]:
        """A runtime that leaves nothing behind."""
        with TemporaryDirectory(prefix="head") as cache:
            yield replace(self._runtime, cache=Path(cache))

    def _levels(self, images: Tensor | NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not isinstance(images, Tensor | np.ndarray):
            raise TypeError(f"images are a tensor or an array, not a {type(images).__name__}")
        if isinstance(images, Tensor) and images.dtype == torch.bfloat16:  # which no array has
            images = images.float()
        found: NDArray[Any] = images.detach().cpu().numpy() if isinstance(images, Tensor) else images
        wanted = (3, *self.size) if found.dtype.kind == "f" else (*self.size, 3)
        if found.dtype.kind != "f" and found.dtype != np.uint8:
            raise ValueError(f"images are uint8, or floating point in [0, 1]; these are {found.dtype}")
        if found.ndim != 4 or len(found) == 0 or found.shape[1:] != wanted:
            listed = ", ".join(map(str, wanted))
            raise ValueError(f"images (B, {listed}) of {found.dtype} are needed, got {tuple(found.shape)}")
        if found.dtype == np.uint8:
            return np.ascontiguousarray(found)
        if not ((found >= 0) & (found <= 1)).all():
            raise ValueError("images of floating point are in [0, 1]; these are not")
        return np.ascontiguousarray((found.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8))


class Described(NamedTuple):
    """A head as its files say that it is, held to each other; its weights are not read."""

    about: About
    record: Record
    protocol: WithHead


def described(folder: Path) -> Described:
    """What is known of a head without its encoder.

    Raises:
        FileNotFoundError: no head there.
        ValueError: as `open_kept`, but for weights and encoder.
    """
    for name in (WEIGHTS, RECORD, DESCRIPTION):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no head in {folder}: {name} is missing")
    try:
        about = _described(folder)
        record = _recorded(folder, about)
        protocol = restored(about.protocol, WithHead)
        check_record(record, protocol)
        check_form(about.form, about.names, about.whole, protocol, record)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder} holds no head that can be opened: {error}") from error
    return Described(about, record, protocol)


def open_kept(
    folder: str | Path, encoder: Encoder | None = None, device: torch.device | None = None
) -> KeptHead:
    """Open a head that `keep` wrote.

    Args:
        folder: of the head.
        encoder: the one that it was fitted on; not needed where the protocol trained it, which is kept.
        device: where it predicts; the CPU without it.

    Raises:
        FileNotFoundError: no head there.
        NoEncoder: a head on a frozen encoder, or on a module of one's own, without it.
        ValueError: files that were changed or cut, belong to others, or describe something unknown; another
            encoder.
    """
    folder, device = Path(folder), device or torch.device("cpu")
    about, record, protocol = described(folder)
    _check_encoder(folder, encoder, protocol, about, record)
    autocast = torch.bfloat16 if record.evaluation.precision == "bfloat16" else None
    runtime = Runtime(device, autocast, record.evaluation.draw)
    try:
        state = safetensors_load((folder / WEIGHTS).read_bytes())
        head = _built(about, protocol, encoder, state, record, runtime)
    except (ValueError, TypeError, RuntimeError, OverflowError, KeyError, SafetensorError) as error:
        raise ValueError(f"{folder} holds no head that can be opened: {error}") from error
    return KeptHead(head, record, about, runtime)


def _described(folder: Path) -> About:
    """What `head.json` says, if it was not changed and the files are those that it names."""
    said = json.loads((folder / DESCRIPTION).read_bytes())
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        found = said.get("format") if isinstance(said, dict) else type(said).__name__
        raise ValueError(f"{DESCRIPTION} has format {found!r}; this version reads format {FORMAT}")
    about = from_plain(About, said)
    if digest({key: value for key, value in said.items() if key != "digest"}) != about.digest:
        raise ValueError(f"{DESCRIPTION} was changed")
    for name, wanted in ((WEIGHTS, about.weights_sha256), (RECORD, about.record_sha256)):
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
            raise ValueError(f"{name} is damaged or not the file that {DESCRIPTION} describes")
    return about


def _recorded(folder: Path, about: About) -> Record:
    records = import_jsonl(folder / RECORD)
    if len(records) != 1:
        raise ValueError(f"{RECORD} has {len(records)} records instead of one")
    e, form = records[0].evaluation, about.form
    if (e.stage, records[0].result.setting) != (form.stage, form.setting):
        raise ValueError(f"{DESCRIPTION} is of stage {form.stage!r}, {RECORD} of another, or another setting")
    return records[0]


def _check_encoder(
    folder: Path, encoder: Encoder | None, protocol: WithHead, about: About, record: Record
) -> None:
    subject, wanted = record.subject, record.provenance.weights
    whose = f"{subject.pretext}, {subject.backbone}, weights {short(wanted)}"
    backbone = about.encoder.get("backbone") if isinstance(about.encoder, dict) else None
    own = isinstance(backbone, dict) and backbone.get("class") == OWN
    if encoder is None and own:
        raise NoEncoder(f"{folder} is a head on a module of one's own ({whose}), which no file holds", own)
    if encoder is None and not isinstance(protocol, TunedProtocol):
        raise NoEncoder(f"{folder} is a head on a frozen encoder ({whose}), which is not beside it", own)
    if encoder is not None and (found := encoder.digest()) != wanted:
        raise ValueError(
            f"{folder} is a head on another encoder ({whose}), not on one of weights {short(found)}"
        )


def _built(
    about: About,
    protocol: WithHead,
    encoder: Encoder | None,
    state: Mapping[str, Tensor],
    record: Record,
    runtime: Runtime,
) -> Head:
    """The head with its weights; nothing that is described is trusted."""
    form = about.form
    numbers = sum(value.numel() for value in state.values())
    if not 1 <= form.classes <= numbers or not 1 <= min(form.size) <= max(form.size) <= MOST:
        raise ValueError(f"{DESCRIPTION} says {form.classes} classes and images of {form.size}")
    if encoder is None:
        with torch.device("meta"):  # without memory: absurd widths are refused before any is taken
            bare = replace(runtime, device=torch.device("meta"), autocast=None)
            said = untrained(about.encoder)
            check_encoder(said, record)
            _check(protocol.untrained_head(said, form, bare), state)
        encoder = untrained(about.encoder)
    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not shift anybody's draws
        head = protocol.untrained_head(encoder.eval(), form, runtime)
    _check(head, state)
    with torch.no_grad():
        for name, value in head.tensors().items():
            value.copy_(state[name])
    return head


def _check(head: Head, state: Mapping[str, Tensor]) -> None:
    """Compare names, shapes, types and values with those that the head has.

    Raises:
        ValueError: names some that are missing, unexpected, of another form or not finite.
    """
    own = head.tensors()
    faults = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another form": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
            for name, value in own.items()
            if name in state and (state[name].shape, state[name].dtype) != (value.shape, value.dtype)
        ],
        "not finite": [
            name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()
        ],
    }
    if any(faults.values()):
        listed = "; ".join(
            f"{what}: {', '.join(names[:NAMED])}{', …' * (len(names) > NAMED)}"
            for what, names in faults.items()
            if names
        )
        raise ValueError(f"the weights do not fit the head: {listed}")
