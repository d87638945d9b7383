"""A system colours all test images; one that cannot be coloured is named and does not stop the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.colorization.reading import Reader, read
from downstream.colorization.rows import painted, rows, saved
from downstream.judge.flags import EQUAL_TO_TRUTH
from downstream.judge.plain import from_plain, to_plain
from downstream.judge.record_files import pack_rows
from downstream.judge.records import Cost
from downstream.protocol import Predictions, take
from pretext.atomic import write_bytes, write_json
from pretext.color import lightness, upsample_ab
from pretext.colorizers.contract import Division, Hints
from pretext.data.dataset import Split
from pretext.data.loader import fetch
from pretextbench.league import beside
from pretextbench.league.entrants import Entrant, Ready
from pretextbench.league.workers import Answer, Question, answers

BATCH = 16
"""Images that are coloured at once."""

SAME = 0.2
"""Mean distance in ab below which an image's colours are its own, brought through 8 bits."""
COLOURED = 5.0
"""Colourfulness of an original from which its own colours are no accident."""
PICTURES = "pictures"

Progress = Callable[[str, int, int], None]


class Coloured(NamedTuple):
    """What a system made of the images of a split.

    rows, pictures: of those that it coloured, in their order; pictures (N, H, W, 3) uint8. failed: why it did
    not colour the others, by place. flags: what a reader must know of its colours.
    """

    rows: Predictions
    pictures: NDArray[np.uint8]
    failed: dict[int, str]
    cost: Cost
    flags: tuple[str, ...]

    def kept(self, places: Sequence[int]) -> Predictions:
        """The rows of these images of the split, all of which it coloured."""
        return take(self.rows, self._index(places))

    def drawn(self, places: Sequence[int]) -> NDArray[np.uint8]:
        """The pictures of these images, all of which it coloured."""
        return self.pictures[self._index(places)]

    def _index(self, places: Sequence[int]) -> NDArray[np.int64]:
        images = len(self.failed) + len(self.pictures)
        coloured = [place for place in range(images) if place not in self.failed]
        return np.searchsorted(coloured, places)


class _Part(NamedTuple):
    rows: Predictions
    pictures: NDArray[np.uint8]


class Judges(NamedTuple):
    """What coloured images are compared by: weights of the 313 colours, and whoever reads pictures."""

    weights: Tensor
    reader: Reader | None
    device: torch.device
    workers: int


def coloured(entrant: Entrant, split: Split, judges: Judges, folder: Path, progress: Progress) -> Coloured:
    """Colour all images of a split, or read what was made of them before.

    Args:
        folder: of this system on these images; its files are written whole, the rows first.

    Raises:
        ValueError: the system colours none of them, or cannot be made.
    """
    found = _read(folder)
    if found is None:
        found = _colour(entrant, split, judges, progress)
        _write(folder, found)
    return found


def _colour(entrant: Entrant, split: Split, judges: Judges, progress: Progress) -> Coloured:
    begun = time.perf_counter()
    ready = entrant.make()
    fitted = time.perf_counter() - begun
    failed: dict[int, str] = {}
    made: list[_Part] = []
    seconds, memory, place = 0.0, 0.0, 0
    workers = 0 if ready.here else judges.workers
    for answer in answers(ready.colorizer, _questions(entrant, split, judges, ready), workers):
        seconds, memory = seconds + answer.seconds, max(memory, answer.memory)
        made += _judged(answer, place, split, judges, failed)
        place += len(answer.found)
        progress("colouring", place, len(split))
    cost = Cost(
        seconds=fitted + seconds,
        device=judges.device.type if ready.here else "cpu",
        peak_memory_mib=memory,
        images_per_second=place / max(seconds, 1e-9),
        parameters=ready.parameters,
        flops=0,
        pretraining=ready.effort,
    )
    if not made:
        raise ValueError(f"{entrant.name} coloured none of the {len(split)} images: {failed[0]}")
    together = {name: np.concatenate([part.rows[name] for part in made]) for name in made[0].rows}
    flags = ready.flags() + (() if entrant.division is Division.ORACLE else _copies(together))
    return Coloured(together, np.concatenate([part.pictures for part in made]), failed, cost, flags)


def _copies(rows: Predictions) -> tuple[str, ...]:
    """A flag where images with colour came back with their own."""
    count = int((rows["error"] / rows["weight"] < SAME)[rows["true_colourfulness"] > COLOURED].sum())
    return (f"{EQUAL_TO_TRUTH}{count} images",) if count else ()


def _questions(entrant: Entrant, split: Split, judges: Judges, ready: Ready) -> Iterator[Question]:
    device = judges.device if ready.here else torch.device("cpu")
    for begin in range(0, len(split), BATCH):
        places = np.arange(begin, min(begin + BATCH, len(split)))
        rgb = fetch(split.pixels, places, device)
        given: tuple[Hints, ...] = ()
        if entrant.reads:
            given = tuple(beside.hints(entrant.reads, split, int(i), rgb[i - begin]) for i in places)
        yield Question(lightness(rgb), given)


def _judged(answer: Answer, begin: int, split: Split, judges: Judges, failed: dict[int, str]) -> list[_Part]:
    """What is kept of the images of one answer; those that failed are written down."""
    failed |= {begin + i: why for i, why in enumerate(answer.found) if isinstance(why, str)}
    found = {begin + i: ab for i, ab in enumerate(answer.found) if not isinstance(ab, str)}
    if not found:
        return []
    places = np.array(list(found), np.int64)
    truth = fetch(split.pixels, places, judges.device)
    height, width = truth.shape[-2:]
    ab = torch.cat([upsample_ab(each[None].float().to(truth), (height, width)) for each in found.values()])
    picture = painted(ab, truth)
    own = dict(rows(ab, truth, judges.weights.to(truth.device), picture))
    if judges.reader is not None:
        own |= read(judges.reader, picture, saved(truth))
    if split.labels is not None and split.labels.ndim == 1:
        own["label"] = split.labels[places].astype(np.float64)
    return [_Part(own, (picture * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())]


def _read(folder: Path) -> Coloured | None:
    """What was kept of a system; None where it is not there whole."""
    if not (folder / "coloured.json").is_file():
        return None
    said = json.loads((folder / "coloured.json").read_bytes())
    with np.load(folder / "rows.npz", allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    pictures = kept.pop(PICTURES).astype(np.uint8)
    failed = {int(place): str(why) for place, why in said["failed"].items()}
    return Coloured(kept, pictures, failed, from_plain(Cost, said["cost"], "cost"), tuple(said["flags"]))


def _write(folder: Path, found: Coloured) -> None:
    write_bytes(folder / "rows.npz", pack_rows({**found.rows, PICTURES: found.pictures}))
    write_json(
        folder / "coloured.json",
        {"failed": found.failed, "cost": to_plain(found.cost), "flags": found.flags},
    )
