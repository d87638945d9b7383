"""Batched augmentation on the device of the images, with parameters of their own for each image.

Every function takes (B, 3, H, W) float images. Randomness comes from a CPU generator that is passed in, so
that the same draws are made wherever the images lie.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TRIES = 10
"""Draws of a crop's area and aspect before the central crop is taken, as in torchvision."""


def horizontal_flip(pixels: Tensor, generator: torch.Generator, p: float = 0.5) -> Tensor:
    """Mirror each image left to right with probability `p`."""
    flips = torch.rand(len(pixels), generator=generator) < p
    return torch.where(_column(flips, pixels), pixels.flip(-1), pixels)


def rotate90(pixels: Tensor, k: Tensor) -> Tensor:
    """Turn image b counter-clockwise by k[b] quarter turns; square images, k (B,) of any integers."""
    if pixels.shape[-1] != pixels.shape[-2]:
        raise ValueError(f"quarter turns need square images, not {tuple(pixels.shape[-2:])}")
    if k.shape != (len(pixels),):
        raise ValueError(f"expected one k for each of {len(pixels)} images, not {tuple(k.shape)}")
    turned = torch.empty_like(pixels)
    for turns in range(4):
        chosen = torch.nonzero(k.cpu() % 4 == turns)[:, 0].to(pixels.device)
        turned[chosen] = torch.rot90(pixels[chosen], turns, (-2, -1))
    return turned


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
) -> Tensor:
    """Cut a rectangle of random area and aspect out of each image and resize it (arXiv:1409.4842).

    Area is uniform in `scale` of the image's, the logarithm of width/height in that of `ratio`; an image
    for which no draw of ten fits gets its largest central crop within `ratio`, as in torchvision.

    Returns: (B, C, size, size); see `crop_resize`.
    """
    height, width = pixels.shape[-2:]
    boxes = _draw_boxes(len(pixels), height, width, scale, ratio, generator)
    return crop_resize(pixels, boxes, size)


def crop_resize(pixels: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Resize a rectangle of each image to a square, bilinear with antialiasing.

    The same numbers as torchvision's `resized_crop(antialias=True)`, by two matrix products a batch instead
    of a call an image: out = Wy · image · Wxᵀ, with the filter's weights as rows of Wy and Wx.

    Args:
        pixels: (B, C, H, W).
        boxes: (B, 4) int64 top, left, height, width, in pixels inside the image.
        size: of the square, in pixels.

    Returns: (B, C, size, size).
    """
    top, left, height, width = boxes.unbind(1)
    count, channels, lines, points = pixels.shape
    down = _filter(top, height, lines, size).to(pixels.device, pixels.dtype)  # (B, S, H)
    across = _filter(left, width, points, size).to(pixels.device, pixels.dtype)  # (B, S, W)
    with torch.autocast(pixels.device.type, enabled=False):  # half precision would quantise the image
        narrow = torch.bmm(pixels.reshape(count, -1, points), across.transpose(1, 2))
        planes = narrow.view(count, channels, lines, size).unbind(1)  # C of (B, H, S)
        return torch.stack([torch.bmm(down, plane) for plane in planes], dim=1)  # (B, C, S, S)


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


def _filter(start: Tensor, length: Tensor, extent: int, size: int) -> Tensor:
    """Rows (B, size, extent) that resize [start, start + length) to `size` points: a triangle round each.

    As in PyTorch's antialiased bilinear interpolation: the triangle is widened by the factor of reduction,
    cut off at the rectangle's edge and normalised.
    """
    if (start < 0).any() or (length < 1).any() or (start + length > extent).any():
        raise ValueError(f"crops must lie inside the image's {extent} pixels")
    step = (length / size)[:, None]  # (B, 1)
    centre = start[:, None] + step * (torch.arange(size) + 0.5)  # (B, S)
    pixel = torch.arange(extent)
    inside = (pixel >= start[:, None]) & (pixel < (start + length)[:, None])  # (B, E)
    distance = (pixel + 0.5 - centre[..., None]).abs_().div_(step.clamp(min=1)[..., None])  # (B, S, E)
    weights = distance.neg_().add_(1).clamp_(min=0).mul_(inside[:, None])
    return weights.div_(weights.sum(-1, keepdim=True))


def _gather(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at rows (B, S) × columns (B, T) of each image: (B, C, S, T)."""
    count, channels, _, width = pixels.shape
    at = (rows[:, :, None] * width + columns[:, None]).flatten(1).to(pixels.device)  # (B, S·T)
    cut = pixels.flatten(2).gather(2, at[:, None].expand(-1, channels, -1))
    return cut.view(count, channels, rows.shape[1], columns.shape[1])


def _column(flags: Tensor, pixels: Tensor) -> Tensor:
    return flags.to(pixels.device).view(-1, 1, 1, 1)


def _require_at_least(pixels: Tensor, size: int) -> None:
    height, width = pixels.shape[-2:]
    if height < size or width < size:
        raise ValueError(f"cannot cut {size}×{size} out of images of {height}×{width}")
