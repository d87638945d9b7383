"""Linear filters of a colour field, and the field whose responses are nearest to what is asked (LEARCH)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

Floats = NDArray[np.float64]

REACH = 5
"""Pixels to each side that the largest filter spans."""

_SIDE = 2 * REACH + 1
_PATCHES = 6
"""Principal patches a channel and size."""


class FiltersAtSize(NamedTuple):
    """A·F for fields of one size, by Fourier transforms.

    spectrum: of the kernels (K, 2, h, w'), padded to (h, w). size: of the fields.
    """

    spectrum: Tensor
    padded: tuple[int, int]
    size: tuple[int, int]

    def of(self, field: Tensor) -> Tensor:
        """Responses (B, K, H, W) of fields (B, 2, H, W)."""
        seen = torch.fft.rfft2(field, self.padded)[:, None] * self.spectrum.conj()
        # A correlation: a pixel's own response is that of the kernel laid REACH before it.
        return self._cut(torch.roll(torch.fft.irfft2(seen.sum(2), self.padded), (REACH, REACH), (2, 3)), 0)

    def transposed(self, responses: Tensor) -> Tensor:
        """The transpose of `of`: (B, K, H, W) to (B, 2, H, W)."""
        seen = torch.fft.rfft2(responses, self.padded)[:, :, None] * self.spectrum
        return self._cut(torch.fft.irfft2(seen.sum(1), self.padded), REACH)

    def _cut(self, values: Tensor, begin: int) -> Tensor:
        return values[:, :, begin : begin + self.size[0], begin : begin + self.size[1]]


class Filters(NamedTuple):
    """A·F as kernels (K, 2, 11, 11), with which a field of two channels, 0 beyond its border, is correlated.

    The first two are the pixel itself.
    """

    kernels: Tensor

    def of(self, field: Tensor) -> Tensor:
        """Responses (B, K, H, W) of fields (B, 2, H, W)."""
        return self.at(field.shape[-2:]).of(field)

    def transposed(self, responses: Tensor) -> Tensor:
        """The transpose of `of`: (B, K, H, W) to (B, 2, H, W)."""
        return self.at(responses.shape[-2:]).transposed(responses)

    def at(self, size: Sequence[int]) -> FiltersAtSize:
        """The same for fields of one height and width, of which many are filtered."""
        around = [side + 2 * REACH for side in size]
        padded = [next_fast_len(side, real=True) for side in around]
        spectrum = torch.fft.rfft2(self.kernels, padded)
        return FiltersAtSize(spectrum, (padded[0], padded[1]), (size[0], size[1]))

    def solve(self, asked: Tensor, ridge: float = 1e-5, tolerance: float = 1e-5, most: int = 30) -> Tensor:
        """The field x (1, 2, H, W) of least |A·F(x) − b|² + ridge · |x|², by conjugate gradients.

        Args:
            asked: b (1, K, H, W), double precision.
            tolerance: of the residual, of the right-hand side's length. most: iterations.
        """
        shape = (1, 2, *asked.shape[2:])
        filters = self.at(asked.shape[-2:])

        def normal(values: Floats) -> Floats:
            field = torch.from_numpy(values.reshape(shape))
            return np.asarray((filters.transposed(filters.of(field)) + ridge * field).numpy().ravel())

        count = int(np.prod(shape))
        right = filters.transposed(asked)
        found, _ = cg(
            LinearOperator((count, count), normal, dtype=np.float64),
            right.numpy().ravel(),
            x0=asked[:, :2].numpy().ravel(),  # the pixel itself: where the search is short
            rtol=tolerance,
            maxiter=most,
        )
        return torch.from_numpy(found.reshape(shape))


def learned(fields: list[Tensor], rows: int, seed: int, patches: int = 20000) -> Filters:
    """The pixel itself, and the principal directions of what the other filters respond on coloured pictures.

    F holds, a channel: the pixel, six principal patches of 3×3 and of 7×7 pixels, bars of four directions,
    two Laplacians of Gaussians and two Gaussians. A's rows are orthonormal in F's responses.

    Args:
        fields: (2, h, w) each.
        rows: K, from 3 to as many as F has.
        patches: drawn of all fields.

    Raises:
        ValueError: rows out of range, or fields smaller than a filter.
    """
    if any(min(field.shape[1:]) < _SIDE for field in fields):
        raise ValueError(f"colour_filters.learned takes fields with sides from {_SIDE} pixels")
    draw = np.random.default_rng(seed)
    each = -(-patches // len(fields))
    cut = np.concatenate([_patches(field.numpy(), each, draw) for field in fields])  # (n, 2, 11, 11)
    alone = np.zeros((_SIDE, _SIDE))
    alone[REACH, REACH] = 1
    kernels = []
    for channel in (0, 1):
        for one in (*_principal(cut[:, channel], 1), *_principal(cut[:, channel], 3), *_fixed()):
            kernels.append(np.zeros((2, _SIDE, _SIDE)))
            kernels[-1][channel] = one / np.abs(one).sum()
    rest = np.stack(kernels)
    if not 3 <= rows <= len(rest) + 2:
        raise ValueError(f"colour_filters.learned takes rows from 3 to {len(rest) + 2}, got {rows}")
    seen = np.tensordot(cut, rest, axes=((1, 2, 3), (1, 2, 3)))  # (n, D)
    _, vectors = np.linalg.eigh(seen.T @ seen / len(seen))
    mixed = np.tensordot(vectors[:, ::-1][:, : rows - 2].T, rest, axes=1)
    itself = np.stack([np.stack([alone, 0 * alone]), np.stack([0 * alone, alone])])
    return Filters(torch.from_numpy(np.concatenate([itself, mixed])))


def _patches(field: Floats, count: int, draw: np.random.Generator) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view(field, (_SIDE, _SIDE), (1, 2))  # (2, h', w', 11, 11)
    down, right = (draw.integers(0, length, count) for length in windows.shape[1:3])
    return np.asarray(windows[:, down, right].swapaxes(0, 1))


def _principal(patches: Floats, half: int) -> Floats:
    """The first principal patches (6, 11, 11) of (n, 11, 11), cut to 2 · half + 1 pixels."""
    inner = patches[:, REACH - half : REACH + half + 1, REACH - half : REACH + half + 1]
    flat = inner.reshape(len(inner), -1)
    _, vectors = np.linalg.eigh(np.cov((flat - flat.mean(0)).T))
    side = 2 * half + 1
    first = vectors[:, ::-1][:, :_PATCHES].T.reshape(_PATCHES, side, side)
    return np.pad(first, ((0, 0), (REACH - half, REACH - half), (REACH - half, REACH - half)))


def _fixed() -> list[Floats]:
    """Bars, Laplacians of Gaussians, and Gaussians, each (11, 11)."""
    down, right = np.mgrid[:_SIDE, :_SIDE] - float(REACH)
    radius = down**2 + right**2
    found = []
    for angle in np.pi * np.arange(4) / 4:
        across = down * np.cos(angle) - right * np.sin(angle)
        bar = (across**2 - 1) * np.exp(-(across**2) / 2) * np.exp(-radius / 18)
        found.append(bar - bar.mean())
    for width in (1.0, 2.0):
        spot = (radius - 2 * width**2) * np.exp(-radius / (2 * width**2))
        found.append(spot - spot.mean())
    return found + [np.exp(-radius / (2 * width**2)) for width in (1.0, 2.0)]
