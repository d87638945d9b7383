"""Random crops: as they are, or resized; a mirror image is the same sampling in reverse."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pretext.views.resample import BILINEAR, Kernel, resizing, separable
from pretext.views.some import beside

TRIES = 10
"""Draws of a crop's area and aspect before the central crop is taken, as in torchvision."""


def random_crop_flip(
    pixels: Tensor, size: int, generator: torch.Generator, padding: int = 0, p: float = 0.5
) -> Tensor:
    """Cut a square at a uniform place out of each image and mirror it with probability `p`.

    Args:
        pixels: (B, C, H, W).
        size: of the square, in pixels.
        generator: of all draws.
        padding: pixels by which each image is first continued in its mirror image on all four sides.
        p: of the flip.

    Returns: (B, C, size, size).
    """
    if padding:
        pixels = functional.pad(pixels, (padding,) * 4, mode="reflect")
    _require_at_least(pixels, size)
    count, _, height, width = pixels.shape
    draw = torch.rand(3, count, generator=generator)
    top = (draw[0] * (height - size + 1)).long()
    left = (draw[1] * (width - size + 1)).long()
    flips = draw[2] < p
    steps = torch.arange(size)
    rows = top[:, None] + steps  # (B, S)
    columns = left[:, None] + torch.where(flips[:, None], size - 1 - steps, steps)
    return _gather(pixels, rows, columns)


def random_resized_crop(
    pixels: Tensor,
    size: int,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    p: float = 0.0,
    kernel: Kernel = BILINEAR,
) -> Tensor:
    """Cut a rectangle of random area and aspect out of each image and resize it (arXiv:1409.4842).

    Area is uniform in `scale` of the image's, the logarithm of width/height in that of `ratio`; an image
    for which no draw of ten fits gets its largest central crop within `ratio`, as in torchvision.

    Args:
        pixels: (B, C, H, W).
        size: of the square that comes out, in pixels.
        generator: of all draws.
        scale, ratio: least and largest area, as a share of the image's, and width/height.
        p: of a mirror image. The draws are those of `horizontal_flip` afterwards.
        kernel: of the interpolation.

    Returns: (B, C, size, size); see `crop_resize`.
    """
    height, width = pixels.shape[-2:]
    boxes = _draw_boxes(len(pixels), height, width, scale, ratio, generator)
    mirrored = torch.rand(len(pixels), generator=generator) < p if p else None
    return crop_resize(pixels, boxes, size, mirrored, kernel)


def crop_resize(
    pixels: Tensor, boxes: Tensor, size: int, mirrored: Tensor | None = None, kernel: Kernel = BILINEAR
) -> Tensor:
    """Resize a rectangle of each image to a square, with antialiasing.

    The same numbers as torchvision's `resized_crop(antialias=True)`, by two matrix products a batch instead
    of a call an image: out = Wy · image · Wxᵀ, with the filter's weights as rows of Wy and Wx.

    Args:
        pixels: (B, C, H, W); in [0, 1] for a kernel that overshoots, to which its results are cut.
        boxes: (B, 4) int64 top, left, height, width, in pixels inside the image; on the CPU.
        size: of the square, in pixels.
        mirrored: (B,) bool, whose squares come out left to right; none without it. On the CPU.
        kernel: of the interpolation.

    Returns: (B, C, size, size).

    Raises:
        ValueError: a rectangle beyond the image.
    """
    lines, points = pixels.shape[-2:]
    top, left, height, width = boxes.unbind(1)
    _require_inside(top, height, lines)
    _require_inside(left, width, points)
    flips = torch.zeros(len(boxes), dtype=torch.bool) if mirrored is None else mirrored
    top, left, height, width, flips = (beside(x, pixels) for x in (top, left, height, width, flips))
    down = resizing(top, height, lines, size, torch.zeros_like(flips), kernel).to(pixels.dtype)
    across = resizing(left, width, points, size, flips, kernel).to(pixels.dtype)
    resized = separable(pixels, down, across)
    return resized.clamp_(0, 1) if kernel.overshoots else resized


def _draw_boxes(
    count: int,
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    draw = torch.rand(4, count, TRIES, generator=generator, dtype=torch.float64)
    area = height * width * (scale[0] + draw[0] * (scale[1] - scale[0]))
    low, high = torch.tensor(ratio, dtype=torch.float64).log()
    aspect = (low + draw[1] * (high - low)).exp()
    w = (area * aspect).sqrt().round().long()  # (B, TRIES)
    h = (area / aspect).sqrt().round().long()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.int().argmax(1, keepdim=True)  # the first draw that fits
    h, w = h.gather(1, first)[:, 0], w.gather(1, first)[:, 0]
    top = (draw[2, :, 0] * (height - h + 1)).long()
    left = (draw[3, :, 0] * (width - w + 1)).long()
    drawn = torch.stack((top, left, h, w), 1)  # (B, 4)
    return torch.where(fits.any(1, keepdim=True), drawn, _central_box(height, width, ratio))


def _central_box(height: int, width: int, ratio: tuple[float, float]) -> Tensor:
    h, w = height, width
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return torch.tensor([(height - h) // 2, (width - w) // 2, h, w])


def _gather(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at rows (B, S) × columns (B, T) of each image: (B, C, S, T)."""
    count, channels, _, width = pixels.shape
    at = (rows[:, :, None] * width + columns[:, None]).flatten(1).to(pixels.device)  # (B, S·T)
    cut = pixels.flatten(2).gather(2, at[:, None].expand(-1, channels, -1))
    return cut.view(count, channels, rows.shape[1], columns.shape[1])


def _require_inside(start: Tensor, length: Tensor, extent: int) -> None:
    if (start < 0).any() or (length < 1).any() or (start + length > extent).any():
        raise ValueError(f"crops must lie inside the image's {extent} pixels")


def _require_at_least(pixels: Tensor, size: int) -> None:
    height, width = pixels.shape[-2:]
    if height < size or width < size:
        raise ValueError(f"cannot cut {size}×{size} out of images of {height}×{width}")
