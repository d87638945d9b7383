"""What a scene is made of, drawn before anything is rendered.

Every image has two streams of its own, keyed by (seed, index): one for all that L shows, one for colour.
Nothing that colour decides can move an edge, and no image depends on another or on how many are made.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.data.scenes.palette import CLASSES, GROUNDS, MODES
from pretext.data.scenes.textures import TEXTURE_DRAWS

Array = NDArray[np.float32]

CANVAS = 64.0
"""Side of a scene in its own units; at 64 px a unit is a pixel."""
MAX_OBJECTS = 4
_LIGHT_STREAM, _COLOUR_STREAM = 0, 1
LIGHTNESS_GAP = 12.0
"""L units that keep an object from melting into its ground."""
OBJECT_LIGHTNESS = (28.0, 76.0)
TILT = 0.35
"""Radians that shapes and grounds lean at most: scenes have an up, and light comes from there."""
TEXTURE_TILT = 0.6
"""Radians that textures lean at most; less than a quarter of pi, so that bands never turn into stripes."""
_PLACES = 4  # candidates for an object's centre; the freest one is taken


class Thing(NamedTuple):
    """One object: place and size in canvas units, angles in radians, lightness in L units."""

    label: int
    x: float
    y: float
    radius: float
    stretch: float
    angle: float
    texture_angle: float
    period: float
    texture_draws: Array
    lightness: float
    contrast: float
    shading: float


class Layout(NamedTuple):
    """One scene without its colours. `things` runs from front to back."""

    things: tuple[Thing, ...]
    ground: int
    ground_angle: float
    ground_period: float
    ground_lightness: float
    ground_contrast: float
    ground_draws: Array
    coarse_knots: Array
    fine_knots: Array
    grain_knots: Array
    light_angle: float
    light_slope: float
    shadow: float


class Paint(NamedTuple):
    """Colour draws of the ground (first) and of MAX_OBJECTS objects, (1 + MAX_OBJECTS,) each.

    own: which of its owner's two modes; other: any mode; keep, hue, chroma: in [0, 1).
    """

    own: NDArray[np.intp]
    other: NDArray[np.intp]
    keep: NDArray[np.float64]
    hue: NDArray[np.float64]
    chroma: NDArray[np.float64]


def _stream(seed: int, index: int, stream: int) -> np.random.Generator:
    counter = [0, 0, 0, stream]
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, index], dtype=np.uint64), counter=counter)
    )


def _between(draw: float, low: float, high: float) -> float:
    return low + (high - low) * float(draw)


def _knots(rng: np.random.Generator, cells: int) -> Array:
    return rng.random((cells + 3, cells + 3)).astype(np.float32)


def _centre(places: NDArray[np.float64], radius: float, taken: list[Thing]) -> tuple[float, float]:
    """Return the candidate furthest from the outlines already placed: overlap happens, burial is rare."""
    margin = 0.8 * radius
    centres = margin + (CANVAS - 2 * margin) * places  # (_PLACES, 2)
    free = [
        min((math.hypot(x - t.x, y - t.y) - t.radius for t in taken), default=0.0)
        for x, y in centres.tolist()
    ]
    x, y = centres[free.index(max(free))].tolist()
    return x, y


def _apart_from(ground: float, draw: float) -> float:
    """Lightness of an object, uniform over OBJECT_LIGHTNESS without what is close to its ground's."""
    low, high = OBJECT_LIGHTNESS
    darker = max(0.0, ground - LIGHTNESS_GAP - low)
    lighter = max(0.0, high - ground - LIGHTNESS_GAP)
    along = draw * (darker + lighter)
    return low + along if along < darker else ground + LIGHTNESS_GAP + along - darker


def _draw_things(rng: np.random.Generator, ground_lightness: float) -> tuple[Thing, ...]:
    count = int(rng.random() * MAX_OBJECTS) + 1
    things: list[Thing] = []
    for _ in range(count):
        u = rng.random(10)
        places = rng.random((_PLACES, 2))
        texture_draws = rng.random(TEXTURE_DRAWS).astype(np.float32)
        radius = _between(u[1], 10, 15)
        x, y = _centre(places, radius, things)
        contrast = _between(u[7], 10, 16)
        things.append(
            Thing(
                label=int(u[0] * len(CLASSES)),
                x=x,
                y=y,
                radius=radius,
                stretch=_between(u[2], 0.88, 1.13),
                angle=_between(u[3], -TILT, TILT),
                texture_angle=_between(u[4], -TEXTURE_TILT, TEXTURE_TILT),
                period=_between(u[5], 5.0, 7.0),
                texture_draws=texture_draws,
                lightness=_apart_from(ground_lightness, float(u[6])),
                contrast=contrast if u[8] < 0.5 else -contrast,
                shading=_between(u[9], 2, 6),
            )
        )
    return tuple(things)


def draw_layout(seed: int, index: int) -> Layout:
    """Everything that L, labels, boxes and masks depend on."""
    rng = _stream(seed, index, _LIGHT_STREAM)
    u = rng.random(8)
    ground_lightness = _between(u[3], 32, 72)
    things = _draw_things(rng, ground_lightness)
    return Layout(
        things=things,
        ground=int(u[0] * len(GROUNDS)),
        ground_angle=_between(u[1], -TILT, TILT),
        ground_period=_between(u[2], 9, 14),
        ground_lightness=ground_lightness,
        ground_contrast=_between(u[4], 2, 4),
        ground_draws=rng.random(32).astype(np.float32),
        coarse_knots=_knots(rng, 5),
        fine_knots=_knots(rng, 16),
        grain_knots=_knots(rng, 40),
        light_angle=_between(u[5], -0.75 * math.pi, -0.25 * math.pi),
        light_slope=_between(u[6], 0, 8),
        shadow=_between(u[7], 4, 14),
    )


def draw_paint(seed: int, index: int) -> Paint:
    """Everything that only colour depends on."""
    u = _stream(seed, index, _COLOUR_STREAM).random((5, 1 + MAX_OBJECTS))
    return Paint((u[0] * 2).astype(np.intp), (u[1] * len(MODES)).astype(np.intp), u[2], u[3], u[4])
