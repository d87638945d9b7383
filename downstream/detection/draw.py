"""Pictures of detections: the true boxes beside what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from downstream.detection.matching import Detections
from pretext.data.dataset import Split
from pretext.pictures import TEXT, Color, class_color, contact_sheet, enlargement, font

WIDTH = 3
"""Pixels of a box's line, on a black one that is a pixel wider to either side."""
DASH = 6
LEAST = 0.3
"""Score from which on a detection is drawn."""


def draw_detections(
    images: Split, found: Detections, names: Sequence[str] = (), min_score: float = LEAST
) -> NDArray[np.uint8]:
    """Draw the true boxes of each image beside its detections, one color a class, with names and scores.

    Difficult objects are dashed. Detections below `min_score` are left out, but for the surest of an image
    that has no other; weaker ones lie below surer ones.

    Args:
        images: a few images; with boxes, or no truth is shown.
        found: detections of the same images.
        names: of the classes, by label; their numbers without them.
        min_score: of detections that are drawn.

    Returns:
        (H, W, 3) uint8, see `contact_sheet`.

    Raises:
        ValueError: no image, or detections of another number of images.
    """
    if len(images) == 0 or len(found.offsets) != len(images) + 1:
        raise ValueError(
            f"detections of {len(found.offsets) - 1} images cannot be drawn on {len(images)} images"
        )
    pixels = np.asarray(images.pixels[0 : len(images)])
    factor = enlargement(*pixels.shape[1:3])
    big = pixels.repeat(factor, 1).repeat(factor, 2)
    columns = {}
    shown: set[int] = set()
    if images.boxes is not None:
        columns["truth"] = np.stack(
            [_truth(image, images, i, factor, names, shown) for i, image in enumerate(big)]
        )
    columns[f"found, score ≥ {min_score:g}"] = np.stack(
        [_found(image, found, i, factor, names, min_score, shown) for i, image in enumerate(big)]
    )
    return contact_sheet(columns, [(named(label, names), class_color(label)) for label in sorted(shown)])


def draw_found(
    image: NDArray[np.uint8], found: Detections, i: int, names: Sequence[str] = (), min_score: float = LEAST
) -> NDArray[np.uint8]:
    """One image (H, W, 3), enlarged where it is small, with its detections, see `draw_detections`.

    Args:
        i: which of the images of `found` it is.
    """
    factor = enlargement(*image.shape[:2])
    return _found(image.repeat(factor, 0).repeat(factor, 1), found, i, factor, names, min_score, set())


def named(label: int, names: Sequence[str]) -> str:
    """What a class is called; its number where it has no name."""
    return names[label] if label < len(names) else f"class {label}"


def _truth(
    image: NDArray[np.uint8], images: Split, i: int, factor: int, names: Sequence[str], shown: set[int]
) -> NDArray[np.uint8]:
    assert images.boxes is not None
    canvas = Image.fromarray(image)
    for box, label, difficult in zip(*images.boxes.of(i), strict=True):
        shown.add(int(label))
        _box(canvas, box * factor, class_color(int(label)), named(int(label), names), dashed=bool(difficult))
    return np.asarray(canvas)


def _found(
    image: NDArray[np.uint8],
    found: Detections,
    i: int,
    factor: int,
    names: Sequence[str],
    min_score: float,
    shown: set[int],
) -> NDArray[np.uint8]:
    boxes, labels, scores = found.of(i)
    order = np.argsort(scores, kind="stable")
    sure = order[scores[order] >= min_score]
    canvas = Image.fromarray(image)
    for d in sure if len(sure) else order[-1:]:
        label = int(labels[d])
        shown.add(label)
        _box(canvas, boxes[d] * factor, class_color(label), f"{named(label, names)} {scores[d]:.2f}")
    return np.asarray(canvas)


def _box(
    canvas: Image.Image, box: NDArray[np.float32], color: Color, text: str, dashed: bool = False
) -> None:
    """Draw a box with its name, in place; the name stays inside the picture."""
    draw = ImageDraw.Draw(canvas)
    x1, y1, x2, y2 = (float(value) for value in box)
    x2, y2 = max(x2, x1 + 2 * WIDTH), max(y2, y1 + 2 * WIDTH)
    if dashed:
        _dashes(draw, (x1, y1, x2, y2), color)
    else:
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="black", width=WIDTH + 2)
        draw.rectangle((x1, y1, x2, y2), outline=color, width=WIDTH)
    left, top, right, bottom = draw.textbbox((0, 0), text, font(TEXT - 2))
    x = min(max(x1, 0), max(canvas.width - right - 4, 0))
    y = y1 - bottom - 3 if y1 > bottom + 3 else min(y1 + WIDTH, canvas.height - bottom - 3)
    draw.rectangle((x + left, y + top - 1, x + right + 4, y + bottom + 2), fill=color)
    light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    draw.text((x + 2, y), text, "black" if light else "white", font(TEXT - 2))


def _dashes(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], color: Color) -> None:
    x1, y1, x2, y2 = box
    for start in np.arange(x1, x2, 2 * DASH):
        for y in (y1, y2):
            draw.line((start, y, min(start + DASH, x2), y), color, WIDTH)
    for start in np.arange(y1, y2, 2 * DASH):
        for x in (x1, x2):
            draw.line((x, start, x, min(start + DASH, y2)), color, WIDTH)
