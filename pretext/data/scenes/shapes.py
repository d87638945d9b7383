"""The outlines of `scenes`: signed distances of shapes that all cover the same area.

Equal areas keep size from giving a shape away. Distances are negative inside, positive outside and zero on
the outline; beyond a corner they are a lower bound, which moves no outline.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Outline = Callable[[Array, Array], Array]

AREA = math.pi
"""Area of every shape in its own units: that of the unit disc."""

_TRIANGLE_INRADIUS = math.sqrt(AREA / (3 * math.sqrt(3)))
_RING_HALF_WIDTH = math.sqrt(
    AREA / (12 * math.pi)
)  # the hole is half as wide as the ring: middle = 3 half widths
_CROSS_ARM = math.sqrt(9 * AREA / 20)  # arms three times as long as they are wide
REACH = 2 * _TRIANGLE_INRADIUS
"""No point of a shape is further from its centre: a corner of the triangle."""


def disc(x: Array, y: Array) -> Array:
    """Disc of radius 1."""
    return np.hypot(x, y) - np.float32(1)


def ring(x: Array, y: Array) -> Array:
    """Ring whose hole has half its diameter."""
    return np.abs(np.hypot(x, y) - np.float32(3 * _RING_HALF_WIDTH)) - np.float32(_RING_HALF_WIDTH)


def triangle(x: Array, y: Array) -> Array:
    """Equilateral triangle, centred on its centroid, one corner towards -y: up in an image."""
    slanted = np.abs(x) * np.float32(math.sqrt(3) / 2) - y * np.float32(0.5)
    return np.maximum(slanted, y) - np.float32(_TRIANGLE_INRADIUS)


def cross(x: Array, y: Array) -> Array:
    """Two equal bars that cross at right angles."""
    across, along = np.abs(x), np.abs(y)
    long, short = np.maximum(across, along), np.minimum(across, along)
    return np.maximum(long - np.float32(_CROSS_ARM), short - np.float32(_CROSS_ARM / 3))


SHAPES: dict[str, Outline] = {"disc": disc, "ring": ring, "triangle": triangle, "cross": cross}
"""Name → signed distance at (x, y), both in units in which the shape's area is pi."""
