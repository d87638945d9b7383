"""Masks as people store them: label maps, palettes, colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.data.decode import BadImage, decode_stored

MOST = 255
"""Values that masks can have at most; more of them are no classes."""

_WIDE = ("I", "I;16", "I;16L", "I;16B")


class LabelImage(NamedTuple):
    """A mask as it is stored.

    values: (H, W) uint8. colours: (256, 3) uint8 of the values, None where they have none. Of a mask in
    colour, values are None and colours (H, W, 3).
    """

    values: NDArray[np.uint8] | None
    colours: NDArray[np.uint8] | None

    def used(self) -> list[int]:
        """The values that occur; none in a mask in colour."""
        counts = np.bincount(() if self.values is None else self.values.ravel())
        return [int(value) for value in np.flatnonzero(counts)]


def decode_labels(content: bytes, name: str) -> LabelImage:
    """Decode a mask: 1 to 16 bits gray, palette, or colour; gray that is stored as colour is gray.

    Raises: BadImage, also for values above 255 and for half-transparent colours.
    """
    image = decode_stored(content, name)
    if image.mode == "P":
        flat = np.zeros((256, 3), np.uint8)
        given = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        flat[: len(given)] = given
        return LabelImage(np.array(image, np.uint8), flat)
    if image.mode in ("1", "L"):
        return LabelImage(np.array(image, np.uint8), None)
    if image.mode in _WIDE:
        wide = np.array(image)
        if wide.min() < 0 or wide.max() > MOST:
            raise BadImage(name, f"a mask holds values of 0 to {MOST}, not {wide.min()} to {wide.max()}")
        return LabelImage(wide.astype(np.uint8), None)
    if image.mode not in ("RGB", "RGBA", "LA"):
        raise BadImage(name, f"a mask is gray, palette or RGB, not of mode {image.mode!r}")
    if image.mode != "RGB":
        rgba = np.array(image.convert("RGBA"))
        if not np.isin(rgba[..., 3], (0, 255)).all():
            raise BadImage(name, "a mask in colour must not be half transparent")
        rgb = rgba[..., :3] * (rgba[..., 3:] == 255)
    else:
        rgb = np.array(image)
    if (rgb == rgb[..., :1]).all():
        return LabelImage(np.ascontiguousarray(rgb[..., 0]), None)
    return LabelImage(None, rgb)


def by_palette(mask: LabelImage, palette: Sequence[tuple[int, int, int]], name: str) -> NDArray[np.uint8]:
    """The position in a palette of each pixel's colour, (H, W) uint8.

    Raises: BadImage for a colour that is not in it.
    """
    codes = _codes(_rgb(mask))
    known = np.array([_code(colour) for colour in palette], np.int64)
    order = np.argsort(known)
    at = np.searchsorted(known[order], codes).clip(max=len(known) - 1)
    if (wrong := known[order][at] != codes).any():
        odd = _colour(int(codes[wrong][0]))
        raise BadImage(name, f"holds the colour {odd}, which is not in data.palette: {list(palette)}")
    return np.asarray(order[at], np.uint8)


def colors_of(mask: LabelImage) -> set[tuple[int, int, int]]:
    """The colours that occur."""
    if mask.values is None:
        return {_colour(int(code)) for code in np.unique(_codes(_rgb(mask)))}
    if mask.colours is None:
        return {(value, value, value) for value in mask.used()}
    return {_colour(_code(mask.colours[value].tolist())) for value in mask.used()}


def _rgb(mask: LabelImage) -> NDArray[np.uint8]:
    if mask.values is None:
        assert mask.colours is not None
        return mask.colours
    if mask.colours is None:
        return np.repeat(mask.values[..., None], 3, axis=2)
    return np.asarray(mask.colours[mask.values])


def _codes(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(rgb.astype(np.int64) @ np.array([65536, 256, 1]))


def _code(colour: Sequence[int]) -> int:
    return colour[0] * 65536 + colour[1] * 256 + colour[2]


def _colour(code: int) -> tuple[int, int, int]:
    return code // 65536, code // 256 % 256, code % 256
