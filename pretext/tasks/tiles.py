"""Tiles of images, for tasks that ask where they were."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretext import views

GREEN_MAGENTA = (-1.0, 2.0, -1.0)
"""The axis along which lenses disperse colours (arXiv:1505.05192)."""


def tile_size(task: str, pixels: Tensor, grid: int, tile: int | None, shift: int = 0) -> int:
    """Side of a tile, three quarters of a cell by default.

    Raises:
        ValueError: a tile that does not fit in its cell.
    """
    cell = min(pixels.shape[-2:]) // grid
    size = cell * 3 // 4 if tile is None else tile
    if not 0 < size <= cell - shift:
        raise ValueError(
            f"{task}.tile={size} does not fit in cells of {cell} pixels, {grid} × {grid} of an image of "
            f"{pixels.shape[-2]} × {pixels.shape[-1]}, with a shift of {shift}"
        )
    return size


def cut_tiles(
    pixels: Tensor, grid: int, size: int, generator: torch.Generator, *, augment: bool, shift: int = 0
) -> Tensor:
    """Cut a tile out of each cell of the central square, row by row: (B, C, H, W) → (B, grid², C, s, s).

    Args:
        augment: at a random place of the cell, or in its middle.
        shift: pixels by which each channel may further lie elsewhere, so that no aberration of a lens tells.
    """
    cell = min(pixels.shape[-2:]) // grid
    top, left = ((side - cell * grid) // 2 for side in pixels.shape[-2:])
    inner = pixels[:, :, top : top + cell * grid, left : left + cell * grid]
    count, channels = inner.shape[:2]
    cells = inner.reshape(count, channels, grid, cell, grid, cell).permute(0, 2, 4, 1, 3, 5)
    cells = cells.reshape(-1, channels, cell, cell)
    if not augment:
        start = (cell - size) // 2
        tiles = cells[:, :, start : start + size, start : start + size]
    else:
        tiles = views.random_crop_flip(cells, size + shift, generator, p=0.0)
        if shift:
            apart = tiles.reshape(-1, 1, size + shift, size + shift)
            tiles = views.random_crop_flip(apart, size, generator, p=0.0)
    return tiles.reshape(count, grid * grid, channels, size, size)


def sheet(tiles: Tensor, grid: int) -> Tensor:
    """Lay tiles (B, grid², C, s, s) side by side as one picture, row by row: (B, C, grid · s, grid · s)."""
    rows = tiles.reshape(len(tiles), grid, grid, *tiles.shape[2:])
    return rows.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def without_color(pixels: Tensor, generator: torch.Generator, gray: float, project: float) -> Tensor:
    """Take colour from some images: with probability `gray` all, with `project` what lenses disperse."""
    draws = torch.rand(2, len(pixels), generator=generator)
    axis = pixels.new_tensor(GREEN_MAGENTA)
    along = torch.einsum("bchw,c->bhw", pixels, axis)[:, None] * axis.view(1, 3, 1, 1) / axis.square().sum()
    projected = (pixels - along).clamp(0, 1)
    chosen = (draws[1] < project).view(-1, 1, 1, 1).to(pixels.device)
    pixels = torch.where(chosen, projected, pixels)
    chosen = (draws[0] < gray).view(-1, 1, 1, 1).to(pixels.device)
    return torch.where(chosen, pixels.mean(1, keepdim=True), pixels)


@functools.cache
def far_apart(items: int, count: int) -> NDArray[np.int64]:
    """Permutations (count, items) that are far apart, by greedy search among all (arXiv:1603.09246).

    The first is drawn, by a fixed seed; each next one has the largest mean Hamming distance to those before.

    Raises:
        ValueError: more than there are.
    """
    total = math.factorial(items)
    if not 2 <= count <= total:
        raise ValueError(f"of {items} tiles there are {total} permutations; asked for {count}, at least 2")
    everything = np.array(list(itertools.permutations(range(items))), dtype=np.int8)  # (items!, items)
    distance = np.zeros(total, dtype=np.int64)
    chosen = [int(np.random.default_rng(0).integers(total))]
    while len(chosen) < count:
        distance += (everything != everything[chosen[-1]]).sum(1)
        distance[chosen[-1]] = np.iinfo(np.int64).min // 2
        chosen.append(int(distance.argmax()))
    return everything[chosen].astype(np.int64)
