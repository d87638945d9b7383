"""Batches of scenes, in as many processes as help."""

from __future__ import annotations

import enum
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.data.cores import cores
from pretext.data.scenes.layout import Layout, Paint, Thing, draw_layout, draw_paint
from pretext.data.scenes.palette import CLASS_MODES, CLASSES, GROUND_MODES, chroma_scale, lab_to_rgb8, mode_ab
from pretext.data.scenes.render import Cover, cover, render, visible_things

Array = NDArray[np.float32]

MIN_SIZE = 16
"""Smallest side in pixels: below it an object may cover no pixel at all."""
_CHUNK = 256  # images a process makes at a time
_WORTH_A_PROCESS = 1024  # images; starting a process costs about as much as making these


class Colour(enum.StrEnum):
    """What colour tells about the scene.

    SEMANTIC: an object wears a mode of its class, a ground one of its kind. OBJECT_RANDOM: each wears any of
    the modes, whatever it is. IMAGE_PERMUTED: the image wears the colours of another: images 2k and 2k + 1
    swap theirs, so a split that starts at an even index and holds an even number of images keeps to itself.
    """

    SEMANTIC = "semantic"
    OBJECT_RANDOM = "object_random"
    IMAGE_PERMUTED = "image_permuted"


@dataclass(frozen=True)
class SceneBatch:
    """N scenes with all their labels. C = len(CLASSES).

    pixels: (N, S, S, 3) uint8 RGB. labels: (N, C) uint8 multi-hot, the classes in sight.
    box_offsets: (N + 1,) int64; image i owns rows `box_offsets[i]:box_offsets[i + 1]` of what follows.
    boxes: (M, 4) float32 xyxy in pixels, round what is visible, 0 ≤ x1 < x2 ≤ S; front to back in an image.
    box_labels: (M,) int64 in [0, C). masks: (N, S, S) uint8, 0 on the ground, 1 + class on objects.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    box_offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    box_labels: NDArray[np.int64]
    masks: NDArray[np.uint8]


@dataclass(frozen=True)
class _Job:
    start: int
    count: int
    seed: int
    size: int
    colour: Colour
    information: float


class _Scene(NamedTuple):
    """A layout, the objects of it that are in sight (front to back), and what each covers."""

    layout: Layout
    things: tuple[Thing, ...]
    covers: list[Cover]


def _scene(seed: int, index: int, size: int) -> _Scene:
    layout = draw_layout(seed, index)
    things = visible_things(layout)
    return _Scene(layout, things, [cover(thing, size) for thing in things])


def _worn(paint: Paint, slot: int, own: NDArray[np.int64], information: float) -> Array:
    """Colour (2,) of the ground (slot 0) or of an object, whose own modes are given."""
    mode = own[paint.own[slot]] if paint.keep[slot] < information else paint.other[slot]
    return mode_ab(int(mode), float(paint.hue[slot]), float(paint.chroma[slot]))


def _colours(scene: _Scene, paint: Paint, information: float, size: int) -> Array:
    """Ab at full chroma, (S, S, 2)."""
    canvas = np.empty((size, size, 2), dtype=np.float32)
    canvas[:] = _worn(paint, 0, GROUND_MODES[scene.layout.ground], information)
    for position in range(len(scene.things) - 1, -1, -1):
        window, alpha, _ = scene.covers[position]
        ab = _worn(paint, 1 + position, CLASS_MODES[scene.things[position].label], information)
        part = canvas[window.rows, window.cols]
        part += alpha[..., None] * (ab - part)
    return canvas


def _colors_under(job: _Job, index: int, scene: _Scene) -> Array:
    """Ab at full chroma under the job's control of colour, (S, S, 2)."""
    match job.colour:
        case Colour.SEMANTIC:
            return _colours(scene, draw_paint(job.seed, index), job.information, job.size)
        case Colour.OBJECT_RANDOM:
            return _colours(scene, draw_paint(job.seed, index), 0.0, job.size)
        case Colour.IMAGE_PERMUTED:
            partner = index ^ 1
            other = _scene(job.seed, partner, job.size)
            return _colours(other, draw_paint(job.seed, partner), job.information, job.size)


def _boxes(instance: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """Tight boxes (count, 4) round the visible pixels of each instance."""
    boxes = np.empty((count, 4), dtype=np.float32)
    for position in range(count):
        seen = instance == position + 1
        rows, cols = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        boxes[position] = cols[0], rows[0], cols[-1] + 1, rows[-1] + 1
    return boxes


def _chunk(job: _Job) -> SceneBatch:
    size, count = job.size, job.count
    pixels = np.empty((count, size, size, 3), dtype=np.uint8)
    masks = np.empty((count, size, size), dtype=np.uint8)
    labels = np.zeros((count, len(CLASSES)), dtype=np.uint8)
    boxes, box_labels = [], []
    for row in range(count):
        scene = _scene(job.seed, job.start + row, size)
        lightness, instance = render(scene.layout, scene.things, scene.covers, size)
        ab = _colors_under(job, job.start + row, scene)
        pixels[row] = lab_to_rgb8(lightness, ab * chroma_scale(lightness)[..., None])
        classes = np.array([thing.label for thing in scene.things], dtype=np.int64)
        masks[row] = np.concatenate([[0], classes + 1])[instance]
        labels[row, classes] = 1
        boxes.append(_boxes(instance, len(classes)))
        box_labels.append(classes)
    offsets = np.cumsum([0, *map(len, box_labels)], dtype=np.int64)
    return SceneBatch(pixels, labels, offsets, np.concatenate(boxes), np.concatenate(box_labels), masks)


def _join(parts: list[SceneBatch]) -> SceneBatch:
    offsets, total = [np.zeros(1, dtype=np.int64)], 0
    for part in parts:
        offsets.append(part.box_offsets[1:] + total)
        total += len(part.boxes)
    return SceneBatch(
        pixels=np.concatenate([p.pixels for p in parts]),
        labels=np.concatenate([p.labels for p in parts]),
        box_offsets=np.concatenate(offsets),
        boxes=np.concatenate([p.boxes for p in parts]),
        box_labels=np.concatenate([p.box_labels for p in parts]),
        masks=np.concatenate([p.masks for p in parts]),
    )


def _jobs(job: _Job) -> Iterator[_Job]:
    stop = job.start + job.count
    for start in range(job.start, stop, _CHUNK):
        yield replace(job, start=start, count=min(_CHUNK, stop - start))


def _check(job: _Job, workers: int | None) -> None:
    if job.start < 0 or job.count < 1 or job.seed < 0:
        raise ValueError(
            f"generate: start and seed must be ≥ 0 and count ≥ 1, got start={job.start}, "
            f"seed={job.seed}, count={job.count}"
        )
    if job.size < MIN_SIZE:
        raise ValueError(f"generate: size must be ≥ {MIN_SIZE} px, got {job.size}")
    if not 0 <= job.information <= 1:
        raise ValueError(f"generate: colour_information must lie in [0, 1], got {job.information}")
    if workers is not None and workers < 1:
        raise ValueError(f"generate: workers must be ≥ 1 or None, got {workers}")


def _default_workers(count: int) -> int:
    return max(1, min(cores(), count // _WORTH_A_PROCESS))


def generate(
    start: int,
    count: int,
    *,
    seed: int,
    size: int = 64,
    colour: Colour = Colour.SEMANTIC,
    colour_information: float = 1.0,
    workers: int | None = None,
) -> SceneBatch:
    """Make scenes start … start + count - 1 of a seed.

    Scene i is the same whatever start, count and workers are; its L, labels, boxes and masks are the same
    whatever colour and colour_information are; its content is the same at every size.

    colour_information: probability that an object or a ground wears a mode of its own kind instead of any
    mode; OBJECT_RANDOM is SEMANTIC without any. workers: processes; None takes the cores that pay off.
    Processes are spawned: a script that asks for more than one needs the usual `__main__` guard.

    Raises: ValueError for a negative start or seed, a count below 1, a size below MIN_SIZE, a
    colour_information outside [0, 1], an unknown colour or workers below 1.
    """
    if colour not in list(Colour):
        raise ValueError(f"generate: colour must be one of {', '.join(Colour)}, got {colour!r}")
    job = _Job(start, count, seed, size, Colour(colour), colour_information)
    _check(job, workers)
    workers = _default_workers(count) if workers is None else workers
    if workers == 1 or count <= _CHUNK:
        return _join([_chunk(part) for part in _jobs(job)])
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return _join(list(pool.map(_chunk, _jobs(job))))
