"""Pictures of detections: the true boxes above, what was found below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from downstream.detection.matching import Detections
from pretext.data.dataset import Split

_GAP = 4  # white pixels between images


def draw_detections(
    images: Split,
    found: Detections,
    min_score: float = 0.3,
    names: Sequence[str] = (),
    scale: int | None = None,
) -> NDArray[np.uint8]:
    """Draw images side by side, true boxes in the upper row, detections in the lower; one colour a class.

    Difficult objects are dashed. Detections below `min_score` are left out, weaker ones lie below surer ones.

    Args:
        images: a few images; with boxes, or the upper row shows none.
        found: detections of the same images.
        min_score: of detections that are drawn.
        names: written beside the boxes, by label; nothing is written without them.
        scale: enlargement; without it, to at least 192 pixels a side.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: no image, or detections of another number of images.
    """
    if len(images) == 0 or len(found.offsets) != len(images) + 1:
        raise ValueError(
            f"detections of {len(found.offsets) - 1} images cannot be drawn on {len(images)} images"
        )
    pixels = np.asarray(images.pixels[0 : len(images)])
    factor = scale or max(1, -(-192 // min(pixels.shape[1:3])))
    columns = []
    for i, image in enumerate(pixels):
        big = torch.from_numpy(image.repeat(factor, 0).repeat(factor, 1)).permute(2, 0, 1)  # (3, H, W)
        above = _draw_truth(big, images, i, factor, names)
        columns.append(
            np.concatenate([above, _gap(above, 0), _draw_found(big, found, i, factor, names, min_score)])
        )
    parts = [columns[0]]
    for column in columns[1:]:
        parts += [_gap(column, 1), column]
    return np.concatenate(parts, axis=1)


def class_colour(label: int) -> tuple[int, int, int]:
    """A colour that the label keeps in every picture."""
    red, green, blue = colormaps["tab20"](label % 20)[:3]
    return round(255 * red), round(255 * green), round(255 * blue)


def _gap(image: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    shape = list(image.shape)
    shape[axis] = _GAP
    return np.full(shape, 255, np.uint8)


def _draw_truth(image: Tensor, images: Split, i: int, factor: int, names: Sequence[str]) -> NDArray[np.uint8]:
    if images.boxes is None:
        return _array(image)
    boxes, labels, difficult = images.boxes.of(i)
    texts = [names[label] if names else None for label in labels]
    drawn = _array(_draw(image, boxes[~difficult] * factor, labels[~difficult], _pick(texts, ~difficult)))
    for box, label in zip(boxes[difficult] * factor, labels[difficult], strict=True):
        _dash(drawn, box, class_colour(int(label)))
    return drawn


def _draw_found(
    image: Tensor, found: Detections, i: int, factor: int, names: Sequence[str], min_score: float
) -> NDArray[np.uint8]:
    boxes, labels, scores = found.of(i)
    order = np.argsort(scores, kind="stable")
    order = order[scores[order] >= min_score]
    texts = [f"{names[labels[d]]} {scores[d]:.2f}" if names else None for d in order]
    return _array(_draw(image, boxes[order] * factor, labels[order], texts))


def _pick(texts: Sequence[str | None], mask: NDArray[np.bool_]) -> list[str | None]:
    return [text for text, chosen in zip(texts, mask, strict=True) if chosen]


def _draw(
    image: Tensor, boxes: NDArray[np.float32], labels: NDArray[np.int64], texts: Sequence[str | None]
) -> Tensor:
    if len(boxes) == 0:
        return image  # torchvision warns of an empty drawing
    colours = [class_colour(int(label)) for label in labels]
    drawn: Tensor = draw_bounding_boxes(
        image, torch.from_numpy(boxes), labels=list(texts), colors=colours, width=2
    )
    return drawn


def _array(image: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _dash(image: NDArray[np.uint8], box: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
    """Draw a dashed rectangle in place: six pixels on, six off."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    columns = np.array([x for x in range(x1, x2) if (x - x1) % 12 < 6], np.intp).clip(0, width - 1)
    rows = np.array([y for y in range(y1, y2) if (y - y1) % 12 < 6], np.intp).clip(0, height - 1)
    for inset in (0, 1):
        for y in (y1 + inset, y2 - 1 - inset):
            image[np.clip(y, 0, height - 1), columns] = colour
        for x in (x1 + inset, x2 - 1 - inset):
            image[rows, np.clip(x, 0, width - 1)] = colour
