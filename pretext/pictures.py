"""Contact sheets: several pictures of each image side by side under headings, enlarged, with a legend."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

SIDE = 192
"""Pixels that the shorter side of every picture is enlarged to, or beyond."""
GAP = 6
"""White pixels between pictures; twice as many between images."""
TEXT = 14
"""Size of letters."""
GOLDEN = 0.618034
"""Turns of the color wheel from one class to the next: any few neighbours differ as much as they can."""


@cache
def font(size: int = TEXT) -> ImageFont.FreeTypeFont:
    """The font of all pictures: DejaVu Sans, which comes with matplotlib."""
    from matplotlib import get_data_path  # a slow import, which a run without pictures does not need

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def class_color(label: int) -> Color:
    """A strong color that the label keeps in every picture."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1, 0.9, 0.95 if label % 2 == 0 else 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def enlargement(height: int, width: int) -> int:
    """The whole factor that brings the shorter side to `SIDE` or beyond."""
    return max(1, -(-SIDE // min(height, width)))


def enlarged(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (N, H, W, 3), each pixel as a square of `enlargement` pixels a side."""
    factor = enlargement(*pictures.shape[1:3])
    return pictures.repeat(factor, 1).repeat(factor, 2)


def contact_sheet(
    columns: Mapping[str, NDArray[np.uint8]], legend: Sequence[tuple[str, Color]] = (), across: int = 2
) -> NDArray[np.uint8]:
    """Lay the pictures of each image side by side, a heading over each kind; (H', W', 3) uint8 on white.

    Args:
        columns: (N, H, W, 3) by heading, image i at position i of each.
        legend: names and their colors, written below.
        across: images in a row.

    Raises:
        ValueError: no picture, or pictures of different counts or sizes.
    """
    shapes = {pictures.shape for pictures in columns.values()}
    if len(shapes) != 1 or 0 in next(iter(shapes)):
        raise ValueError(f"pictures to show must have one shape and be some, got {sorted(shapes)}")
    big = [enlarged(pictures) for pictures in columns.values()]
    count, height, width = big[0].shape[:3]
    across = min(across, count)
    head = 2 * TEXT
    card = len(big) * (width + GAP) + GAP  # wide, the gap behind it included
    lines = _wrapped(legend, across * card)
    sheet = Image.new(
        "RGB",
        (across * card, head + -(-count // across) * (height + 2 * GAP) + len(lines) * 2 * TEXT),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    for column, (heading, pictures) in enumerate(zip(columns, big, strict=True)):
        for i, picture in enumerate(pictures):
            x = i % across * card + column * (width + GAP)
            sheet.paste(Image.fromarray(picture), (x, head + i // across * (height + 2 * GAP)))
            if i < across:
                draw.text((x, TEXT // 2), heading, "black", font())
    for number, line in enumerate(reversed(lines), start=1):
        _legend_line(draw, line, sheet.height - number * 2 * TEXT)
    return np.asarray(sheet)


def _wrapped(legend: Sequence[tuple[str, Color]], width: int) -> list[list[tuple[str, Color]]]:
    """The entries of a legend in lines that fit."""
    lines: list[list[tuple[str, Color]]] = []
    room = 0.0
    for name, color in legend:
        taken = _entry_width(name)
        if not lines or taken > room:
            lines.append([])
            room = width
        lines[-1].append((name, color))
        room -= taken
    return lines


def _entry_width(name: str) -> float:
    return 3 * TEXT + font().getlength(name)


def _legend_line(draw: ImageDraw.ImageDraw, line: Sequence[tuple[str, Color]], y: int) -> None:
    x = 0.0
    for name, color in line:
        draw.rectangle((x, y + 2, x + TEXT, y + 2 + TEXT), color, "black")
        draw.text((x + 1.5 * TEXT, y), name, "black", font())
        x += _entry_width(name)
