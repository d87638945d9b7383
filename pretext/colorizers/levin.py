"""Colorization using optimization: scribbles spread to where brightness is alike (Levin et al. 2004)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from skimage.color import rgb2yiq, yiq2rgb
from torch import Tensor

from pretext.color import lab_to_rgb
from pretext.colorizers import given
from pretext.colorizers.arrays import together
from pretext.colorizers.contract import Hints
from pretext.colorizers.given import Given, one_by_one
from pretext.colorizers.own_lightness import ab_at

Floats = NDArray[np.float64]

_SHARE = 0.6
"""Of a window's variance in the weights' spread."""
_LEAST_WEIGHT = 0.01
"""Of a pixel's most alike neighbour, before weights are normalised."""
_FLOOR = 2e-6
"""Smallest spread, for brightness in [0, 1]."""
_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


class Levin:
    """Spreads the colours that somebody marked on an image (Levin, Lischinski & Weiss 2004).

    The energy and its weights are those of the authors' program, as ports of it agree. Brightness is the Y of
    the gray image in NTSC's YIQ; the marked colours' I and Q spread. The paper marks a gray picture with a
    coloured brush and finds what was marked by the difference; here scribbles say it. A colour leaves YIQ at
    the pixel's own lightness.
    """

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads scribbles.

        Raises:
            ValueError: an image without scribbles, or whose scribbles do not fit.
        """
        ab = [_colored(image) for image in one_by_one("Levin", lightness, hints)]
        return together("Levin", ab, lightness)


def _colored(image: Given) -> Floats:
    """The ab (2, H, W) of one image."""
    ab, marked = given.scribbles(image)
    luminance = _srgb(image.lightness, np.zeros_like(ab))[..., 0]  # (H, W), a gray's Y
    chroma = rgb2yiq(_srgb(image.lightness, np.where(marked, ab, 0)))[..., 1:]  # (H, W, 2)
    spread = propagate(luminance, chroma, marked, image.where)
    return ab_at(image.lightness, lambda y: yiq2rgb(np.dstack([y, spread])), low=-2, high=3)


def _srgb(light: Floats, ab: Floats) -> Floats:
    """sRGB (H, W, 3) in [0, 1] of L (H, W) and ab (2, H, W)."""
    lab = torch.from_numpy(np.concatenate([light[None], ab]))[None]
    return np.ascontiguousarray(lab_to_rgb(lab)[0].permute(1, 2, 0).numpy())


def propagate(
    luminance: Floats, chroma: Floats, marked: NDArray[np.bool_], where: str = "propagate"
) -> Floats:
    """Spread values from marked pixels, so that each other one is the weighted mean of its neighbours.

    Neighbours are the pixels of the 3×3 window, cut off at the image's border. Their weights fall with the
    squared difference in luminance over the window's spread, its variance, so that they do not depend on the
    height of a step, and sum to 1. The result minimises Σ (x_i − Σ_j w_ij x_j)², which it brings to zero, and
    stays within the range of the marked values.

    Args:
        luminance: (H, W) in [0, 1].
        chroma: (H, W, C), any values, read where marked.
        marked: (H, W).
        where: system and image, for errors.

    Returns:
        (H, W, C), the marked values where marked.

    Raises:
        ValueError: shapes that do not fit, no marked pixel, values that are not finite, luminance out of
            range, or a system that is singular or has no finite solution.
    """
    _check(luminance, chroma, marked, where)
    right = np.where(marked[..., None], chroma, 0.0).reshape(luminance.size, -1)
    order = dissected(*luminance.shape)
    # No row's other weights outweigh its diagonal, so that nothing has to be pivoted; pivots would fill the
    # factors, and a picture of 128 pixels would take minutes for a tenth of a second.
    try:
        factors = splu(
            csc_array(_system(luminance, marked)[order][:, order]),
            permc_spec="NATURAL",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError as error:  # SuperLU's way to say so
        raise ValueError(f"{where}: the system that spreads its colours is singular: {error}") from error
    spread = np.empty_like(right)
    spread[order] = factors.solve(right[order])
    if not np.isfinite(spread).all():
        raise ValueError(f"{where}: the system that spreads its colours has no finite solution")
    return np.where(marked[..., None], chroma, spread.reshape(chroma.shape))


def dissected(height: int, width: int) -> NDArray[np.int64]:
    """An order of an image's pixels (HW,) in which factors stay sparse: halves before the line between them.

    Nested dissection (George 1973, doi:10.1137/0710032), which leaves fewer entries than minimum degree.
    """
    parts: list[NDArray[np.int64]] = []

    def halve(block: NDArray[np.int64]) -> None:
        long = block if len(block) >= block.shape[1] else block.T
        if len(long) < 3:
            parts.append(block.ravel())
            return
        middle = len(long) // 2
        halve(long[:middle])
        halve(long[middle + 1 :])
        parts.append(long[middle])

    halve(np.arange(height * width).reshape(height, width))
    return np.concatenate(parts)


def _check(luminance: Floats, chroma: Floats, marked: NDArray[np.bool_], where: str) -> None:
    if luminance.ndim != 2 or chroma.shape[:2] != luminance.shape or chroma.ndim != 3:
        raise ValueError(
            f"{where}: luminance must be (H, W) and chroma (H, W, C); got {luminance.shape}, {chroma.shape}"
        )
    if marked.shape != luminance.shape or marked.dtype != np.bool_:
        raise ValueError(f"{where}: marked must be bool {luminance.shape}; got {marked.dtype} {marked.shape}")
    if not marked.any():
        raise ValueError(f"{where}: no pixel is marked, so that nothing decides the colours")
    if not np.isfinite(chroma[marked]).all():
        raise ValueError(f"{where}: a marked value is not finite")
    # Not `luminance.min() < 0`: a NaN must not pass. The floor of the spread is made for this range.
    if not (luminance.min() >= -1e-6 and luminance.max() <= 1 + 1e-6):
        raise ValueError(
            f"{where}: luminance must lie in [0, 1]; it reaches from {luminance.min()} to {luminance.max()}"
        )


def _system(luminance: Floats, marked: NDArray[np.bool_]) -> csc_array:
    """Rows x_i − Σ_j w_ij x_j, and x_i alone where marked."""
    weights, there = affinities(luminance)  # (8, H, W) both
    height, width = luminance.shape
    places = np.arange(height * width).reshape(height, width)
    framed = np.pad(places, 1)
    others = np.stack([framed[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in _NEIGHBOURS])
    used = there & ~marked
    rows = np.broadcast_to(places, used.shape)[used]
    values = np.concatenate([np.ones(places.size), -weights[used]])
    at = (np.concatenate([places.ravel(), rows]), np.concatenate([places.ravel(), others[used]]))
    return csc_array((values, at), shape=(places.size, places.size))


def affinities(luminance: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Weights of each pixel's 8 neighbours, which sum to 1, and which are in the image: (8, H, W) both.

    The spread of a window is 0.6 of its variance, the pixel itself included; more where the most alike
    neighbour would weigh less than 0.01 before the normalisation.
    """
    height, width = luminance.shape
    framed = np.pad(luminance, 1, constant_values=np.nan)
    around = np.stack([framed[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in _NEIGHBOURS])
    there = ~np.isnan(around)
    window = np.concatenate([around, luminance[None]])
    away = np.where(there, (around - luminance) ** 2, np.inf)
    nearest = np.where(there.any(0), away.min(0), 0)  # an image of one pixel has no neighbour
    spread = np.maximum(_SHARE * np.nanvar(window, axis=0), -nearest / np.log(_LEAST_WEIGHT))
    weights = np.exp(-away / np.maximum(spread, _FLOOR))
    return weights / np.where(there.any(0), weights.sum(0), 1), there
