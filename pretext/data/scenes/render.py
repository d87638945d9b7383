"""From a layout to L, coverage and masks, at any size."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.data.scenes.layout import CANVAS, Layout, Thing
from pretext.data.scenes.palette import CLASSES, GROUNDS, LIGHTNESS_RANGE
from pretext.data.scenes.shapes import REACH, SHAPES
from pretext.data.scenes.textures import TEXTURES, smooth_noise

Array = NDArray[np.float32]

MIN_VISIBLE = 0.45
"""An object that shows a smaller share of its area is not in the scene at all."""
_JUDGED_AT = 32  # px; the choice is made on this grid, so that it is the same at every size
_SHADOW_REACH, _SHADOW_SOFT = 2.5, 3.0  # canvas units
_RIM, _RIM_DEPTH = 1.5, 7.0  # canvas units, L

_SHAPE_OF = [SHAPES[name.split("_")[1]] for name in CLASSES]
_TEXTURE_OF = [TEXTURES[name.split("_")[0]] for name in CLASSES]


class Window(NamedTuple):
    """A rectangle of pixels and the canvas coordinates of their centres: x (1, w), y (h, 1)."""

    rows: slice
    cols: slice
    x: Array
    y: Array


class Cover(NamedTuple):
    """Where one object covers what lies behind it: alpha (h, w) in [0, 1] within a window."""

    window: Window
    alpha: Array
    inside: NDArray[np.bool_]


class Rendered(NamedTuple):
    """L (S, S) in LIGHTNESS_RANGE; instance (S, S) uint8, 0 for ground and 1 + position in `things`."""

    lightness: Array
    instance: NDArray[np.uint8]


@lru_cache(maxsize=16)
def _axis(size: int) -> Array:
    return ((np.arange(size) + 0.5) * CANVAS / size).astype(np.float32)


def _window(thing: Thing, size: int, margin: float) -> Window:
    reach = thing.radius * REACH * max(thing.stretch, 1 / thing.stretch) + margin
    scale, axis = size / CANVAS, _axis(size)
    cols = slice(max(0, int((thing.x - reach) * scale)), min(size, math.ceil((thing.x + reach) * scale)))
    rows = slice(max(0, int((thing.y - reach) * scale)), min(size, math.ceil((thing.y + reach) * scale)))
    return Window(rows, cols, axis[None, cols], axis[rows, None])


def _distance(thing: Thing, x: Array, y: Array) -> Array:
    """Signed distance to the outline in canvas units; x (1, w) and y (h, 1) in canvas units."""
    c, s = math.cos(thing.angle), math.sin(thing.angle)
    dx, dy = x - np.float32(thing.x), y - np.float32(thing.y)
    wide, tall = thing.radius * thing.stretch, thing.radius / thing.stretch
    u = dx * np.float32(c / wide) + dy * np.float32(s / wide)
    v = dy * np.float32(c / tall) - dx * np.float32(s / tall)
    return _SHAPE_OF[thing.label](u, v) * np.float32(thing.radius)


def visible_things(layout: Layout) -> tuple[Thing, ...]:
    """Return the objects that show at least MIN_VISIBLE of their area, front to back.

    The others are left out of the picture as of the labels, so that nothing unlabelled is ever seen.
    """
    taken = np.zeros((_JUDGED_AT, _JUDGED_AT), dtype=np.bool_)
    pixel_area = (CANVAS / _JUDGED_AT) ** 2
    kept = []
    for thing in layout.things:
        window = _window(thing, _JUDGED_AT, 0)
        part = taken[window.rows, window.cols]
        inside = _distance(thing, window.x, window.y) < 0
        seen = np.count_nonzero(inside & ~part) * pixel_area
        if seen >= MIN_VISIBLE * math.pi * thing.radius**2:
            kept.append(thing)
            part |= inside
    return tuple(kept)


def cover(thing: Thing, size: int) -> Cover:
    """Coverage of one object, antialiased over a pixel; a pixel is inside where its centre is."""
    window = _window(thing, size, 1.0)
    distance = _distance(thing, window.x, window.y)
    return Cover(window, np.clip(np.float32(0.5) - distance * np.float32(size / CANVAS), 0, 1), distance < 0)


def _ground(layout: Layout, size: int) -> Array:
    """L of the ground: base, pattern and the slope of the light. (S, S)."""
    x, y = _axis(size)[None, :], _axis(size)[:, None]
    c, s = math.cos(layout.ground_angle), math.sin(layout.ground_angle)
    u = (x * np.float32(c) + y * np.float32(s)) / np.float32(layout.ground_period)
    coarse = smooth_noise(layout.coarse_knots, size)
    pattern: Array
    match GROUNDS[layout.ground]:
        case "clouds":
            pattern = coarse
        case "planks":
            board = np.floor(u).astype(np.intp)
            gap = np.abs(u - board - np.float32(0.5)) * np.float32(layout.ground_period)
            gap -= np.float32((layout.ground_period - 1.5) / 2)
            level = (layout.ground_draws[board % len(layout.ground_draws)] - np.float32(0.5)) * np.float32(3)
            pattern = level - np.float32(2) * np.clip(gap * np.float32(size / CANVAS) + np.float32(0.5), 0, 1)
        case "ripples":
            wave = u + coarse * np.float32(0.25) + layout.ground_draws[0]
            pattern = np.sin(wave * np.float32(2 * math.pi)) * np.float32(1.3)
        case _:
            pattern = smooth_noise(layout.fine_knots, size)
    light = (x - np.float32(CANVAS / 2)) * np.float32(math.cos(layout.light_angle))
    light = light + (y - np.float32(CANVAS / 2)) * np.float32(math.sin(layout.light_angle))
    lightness: Array = np.float32(layout.ground_lightness) + light * np.float32(layout.light_slope / CANVAS)
    return lightness + pattern * np.float32(layout.ground_contrast)


def _cast_shadow(canvas: Array, thing: Thing, layout: Layout, size: int) -> None:
    """Darken what lies on the far side of an object from the light."""
    dx = -_SHADOW_REACH * math.cos(layout.light_angle)
    dy = -_SHADOW_REACH * math.sin(layout.light_angle)
    window = _window(thing, size, _SHADOW_REACH + _SHADOW_SOFT)
    distance = _distance(thing, window.x - np.float32(dx), window.y - np.float32(dy))
    depth = np.clip(np.float32(0.5) - distance * np.float32(0.5 / _SHADOW_SOFT), 0, 1)
    canvas[window.rows, window.cols] -= depth * np.float32(layout.shadow)


def _surface(thing: Thing, layout: Layout, size: int, window: Window) -> Array:
    """L of an object's surface: base, texture, shading towards the light, a dark rim."""
    dx, dy = window.x - np.float32(thing.x), window.y - np.float32(thing.y)
    c, s = np.float32(math.cos(thing.texture_angle)), np.float32(math.sin(thing.texture_angle))
    texture = _TEXTURE_OF[thing.label]
    tone = texture(dx * c + dy * s, dy * c - dx * s, thing.period, CANVAS / size, thing.texture_draws)
    slope = thing.shading / thing.radius
    to_x, to_y = math.cos(layout.light_angle) * slope, math.sin(layout.light_angle) * slope
    lit: Array = dx * np.float32(to_x) + dy * np.float32(to_y)
    distance = _distance(thing, window.x, window.y)
    rim: Array = np.clip(distance * np.float32(1 / _RIM) + np.float32(1), 0, 1)
    flat: Array = np.float32(thing.lightness) + tone * np.float32(thing.contrast)
    return flat + lit - rim * np.float32(_RIM_DEPTH)


def render(layout: Layout, things: tuple[Thing, ...], covers: list[Cover], size: int) -> Rendered:
    """Paint the objects from back to front on their ground. Nothing here knows of colour."""
    canvas = _ground(layout, size)
    instance = np.zeros((size, size), dtype=np.uint8)
    for position in range(len(things) - 1, -1, -1):
        thing, (window, alpha, inside) = things[position], covers[position]
        _cast_shadow(canvas, thing, layout, size)
        part = canvas[window.rows, window.cols]
        part += alpha * (_surface(thing, layout, size, window) - part)
        instance[window.rows, window.cols][inside] = position + 1
    canvas += smooth_noise(layout.grain_knots, size)
    return Rendered(np.clip(canvas, *LIGHTNESS_RANGE), instance)
