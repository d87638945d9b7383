"""Scores made again from their per-example rows: a value that was changed by hand is not what they say."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from downstream.judge.records import Record
from downstream.judge.sound import TOLERANCE
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.protocol import Judgement, Measure, Predictions
from pretext.data.dataset import IGNORE, Boxes, Split

SPOTS = 8
"""Resamples that are made again, evenly spaced."""

SIDES = (16.0, 64.0, 128.0)
"""Sides of boxes, one of each size that detection is scored by (`downstream.detection.matching.SIZES`)."""

CANVAS, SMALL_CANVAS = 128, 16
"""Pixels of a side: that the largest box fits in, and of which each of 255 classes has one."""

MALFORMED = (KeyError, ValueError, TypeError, IndexError, ZeroDivisionError, FloatingPointError)
"""What metrics raise on arrays that are no rows of theirs."""


def contradictions(
    records: Sequence[Record], rows: Predictions, judgement: Judgement
) -> Iterator[tuple[int, str]]:
    """What records say and their rows do not: place of the record, and words.

    A metric that the judgement does not have for such rows is a contradiction too.

    Args:
        records: of one file of rows, by that judgement; at least one.
    """
    measures: Mapping[str, Measure] | None = None
    for place, record in enumerate(records):
        if problem := _wrong_size(record, rows):
            yield place, problem
            continue
        try:
            if measures is None:
                measures = judgement.metrics(stand_in(record, rows))
            problem = _differs(record, rows, measures)
        except MALFORMED as error:
            said = f"{type(error).__name__}: {error}"
            problem = f"its rows are none of {record.evaluation.protocol}: {said}"
        if problem:
            yield place, problem


def _wrong_size(record: Record, rows: Predictions) -> str:
    images = record.data.counts[record.evaluation.split]
    for name, values in rows.items():
        if values.ndim == 0 or len(values) != images:
            return f"its rows {name!r} are {values.shape}, of {images} images"
    return ""


def stand_in(record: Record, rows: Predictions) -> Split:
    """A split with labels enough to tell which metrics there are; its pixels are black.

    Labels are those of the rows; masks have each class that these count pixels of; the last image has a box
    of each size.
    """
    count = record.data.counts[record.evaluation.split]
    labels = rows.get("labels")
    classes = rows.get("confusion")
    side = CANVAS if classes is None else SMALL_CANVAS
    return Split(
        name=record.evaluation.split,
        pixels=np.broadcast_to(np.uint8(0), (count, side, side, 3)),
        digest=record.data.digests[record.evaluation.split],
        labels=None if labels is None else np.asarray(labels),
        boxes=_boxes(count),
        masks=None if classes is None else np.broadcast_to(_mask(np.asarray(classes)), (count, side, side)),
    )


def _boxes(images: int) -> Boxes:
    corners = np.zeros((len(SIDES), 4), np.float32)
    corners[:, 2:] = np.array(SIDES)[:, None]
    offsets = np.zeros(images + 1, np.int64)
    offsets[-1] = len(SIDES)
    return Boxes(offsets, corners, np.zeros(len(SIDES), np.int64), np.zeros(len(SIDES), np.bool_))


def _mask(confusion: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A mask that has each class with a pixel in confusion matrices (N, K, K), K ≤ 255."""
    present = np.flatnonzero(confusion.sum(axis=(0, 2)))
    flat = np.full(SMALL_CANVAS**2, IGNORE, np.uint8)
    flat[: len(present)] = present
    return flat.reshape(SMALL_CANVAS, SMALL_CANVAS)


def _differs(record: Record, rows: Predictions, measures: Mapping[str, Measure]) -> str:
    metric, result = record.evaluation.metric, record.result
    if metric not in measures:
        return f"{record.evaluation.protocol} has no metric {metric!r} for such rows: {', '.join(measures)}"
    measure = measures[metric]
    if record.evaluation.primary != (metric == next(iter(measures))):
        return f"evaluation.primary is {record.evaluation.primary} of {metric!r}, of {', '.join(measures)}"
    if measure.scale != result.scale:
        return f"result: {metric} is measured as {measure.scale}, the record says {result.scale}"
    value = measure(rows)
    if not _alike(value, result.value):
        return f"result.value {result.value} of {metric!r} is not what its rows say, {value}: it was changed"
    return _resampled_otherwise(record, rows, measure)


def _resampled_otherwise(record: Record, rows: Predictions, measure: Measure) -> str:
    kept = record.result.resampled
    if not kept:
        taken = record.evaluation.primary and record.result.selected
        return "result.resampled is empty, and its rows are there: it was taken away" if taken else ""
    images = record.data.counts[record.evaluation.split]
    draws = _draws(record.data.digests[record.evaluation.split], images, len(kept))
    spots = np.unique(np.linspace(0, len(kept) - 1, SPOTS).astype(int))
    for spot, value in zip(spots.tolist(), bootstrap(measure.metric, rows, draws[spots]), strict=True):
        said = kept[spot]
        if not (np.isnan(value) if said is None else _alike(value, said)):
            return f"result.resampled[{spot}] {said} is not what its rows say, {value}: it was changed"
    return ""


@functools.lru_cache(maxsize=2)
def _draws(digest: str, images: int, count: int) -> NDArray[np.int64]:
    return resamples(digest, images, count)


def _alike(value: float, said: float) -> bool:
    return bool(abs(value - said) <= TOLERANCE * max(1.0, abs(said)))
