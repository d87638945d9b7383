"""CIE L*a*b* and sRGB, both ways: D65 white, 2° observer, batched, differentiable, in plain eager torch.

Agrees with scikit-image to 1e-3 over the whole RGB cube. Three choices make it fast without a compiler:

- powers are ``exp2(p * log2(x))``, about half the price of ``pow`` on a CPU;
- each two-piece curve is a sum of its clamped pieces, ``power(max(x, k)) + slope * (min(x, k) - k)``, which
  needs no ``where`` and has finite gradients everywhere;
- without gradients the pixels go through in pieces that stay in the processor's cache.

The 3×3 matrices are applied by element-wise sums: a matrix product would lose digits under autocast or TF32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# IEC 61966-2-1 primaries and the D65 white of the 2° observer, to the digits that scikit-image uses.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_RGB_FROM_XYZ = tuple(
    tuple(row) for row in torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64).inverse().tolist()
)
_WHITE = (0.95047, 1.0, 1.08883)
_WHITE_XYZ_FROM_RGB = tuple(
    tuple(value / white for value in row) for row, white in zip(_XYZ_FROM_RGB, _WHITE, strict=True)
)
_RGB_FROM_WHITE_XYZ = tuple(
    tuple(value * white for value, white in zip(row, _WHITE, strict=True)) for row in _RGB_FROM_XYZ
)

_DELTA = 6 / 29  # CIE 15: where the cube root meets its linear toe
_SRGB_KNEE = 0.04045  # sRGB side of the transfer curve's knee
_LINEAR_KNEE = 0.0031308  # linear side

_CHUNK = 65536  # pixels at a time: what stays in cache runs more than twice as fast as a large batch at once


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Lab of sRGB images.

    Args:
        rgb: (B, 3, H, W), floating point, in [0, 1].

    Returns:
        (B, 3, H, W), float32 (float64 for float64): L in [0, 100], a in [-86.2, 98.3], b in [-107.9, 94.5].

    Raises:
        ValueError: ``rgb`` is no floating-point (B, 3, H, W).
    """
    return _by_pixel(_lab, _checked(rgb, "rgb"), channels=3)


def lightness(rgb: Tensor) -> Tensor:
    """L of :func:`rgb_to_lab` alone, at half the cost: (B, 3, H, W) in [0, 1] -> (B, 1, H, W) in [0, 100]."""
    return _by_pixel(_lightness, _checked(rgb, "rgb"), channels=1)


def ab_at_stride(rgb: Tensor, stride: int = 4, *, offset: int = 0) -> Tensor:
    """The ab of every ``stride``-th pixel, the colour target of Zhang et al. 2016 (arXiv:1603.08511).

    Point-sampled, since an averaged target is desaturated; only the sampled pixels are converted. Samples lie
    at pixels ``offset + stride * i``: 0, the default, is the authors' choice (a 1×1 convolution with stride
    4), and where the windows of padded 3×3 convolutions are centred. Give
    :func:`~pretext.color.upsample_ab` the same offset and colours return to where they were taken from.

    Args:
        rgb: (B, 3, H, W), floating point, in [0, 1]; H and W multiples of ``stride``.
        stride: distance of the samples in pixels.
        offset: first sampled row and column, in [0, stride).

    Returns:
        ab of shape (B, 2, H / stride, W / stride).

    Raises:
        ValueError: wrong shape or type, ``stride`` does not divide H and W, or ``offset`` is out of range.
    """
    rgb = _checked(rgb, "rgb")
    height, width = rgb.shape[2:]
    if stride < 1 or height % stride or width % stride:
        raise ValueError(f"stride must divide the image's height and width, {height}x{width}; got {stride}")
    if not 0 <= offset < stride:
        raise ValueError(f"offset must be in [0, stride) = [0, {stride}); got {offset}")
    return _by_pixel(_ab, rgb[:, :, offset::stride, offset::stride], channels=2)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """sRGB of Lab images, colours outside the gamut clipped to it.

    Args:
        lab: (B, 3, H, W), floating point: L in [0, 100], a and b about [-110, 110].

    Returns:
        (B, 3, H, W) in [0, 1]. Gradients are finite everywhere and zero for clipped values.

    Raises:
        ValueError: ``lab`` is no floating-point (B, 3, H, W).
    """
    return _by_pixel(_rgb, _checked(lab, "lab"), channels=3)


def _checked(image: Tensor, name: str) -> Tensor:
    if image.dim() != 4 or image.shape[1] != 3 or not image.is_floating_point():
        shape = tuple(image.shape)
        raise ValueError(f"{name} must be a floating-point (B, 3, H, W) tensor; got {shape}, {image.dtype}")
    return image if image.dtype == torch.float64 else image.float()


def _by_pixel(convert: Callable[[Tensor], Tensor], image: Tensor, channels: int) -> Tensor:
    """Apply ``convert``, (b, 3, p) -> (b, channels, p), to all pixels of ``image``."""
    shape = (len(image), channels, *image.shape[2:])
    pixels = image.flatten(2)  # (B, 3, HW)
    if pixels.device.type != "cpu" or pixels.requires_grad:
        return convert(pixels).view(shape)
    out = pixels.new_empty(len(image), channels, pixels.shape[2])
    together = max(
        1, _CHUNK // max(1, pixels.shape[2])
    )  # small images go several at a time, large ones in pieces
    for some, some_out in zip(torch.split(pixels, together), torch.split(out, together), strict=True):
        for piece, piece_out in zip(
            torch.split(some, _CHUNK, 2), torch.split(some_out, _CHUNK, 2), strict=True
        ):
            piece_out.copy_(convert(piece))
    return out.view(shape)


def _lab(rgb: Tensor) -> Tensor:
    x, y, z = _compressed_xyz(rgb)
    return torch.stack((y * 116 - 16, (x - y) * 500, (y - z) * 200), dim=1)


def _ab(rgb: Tensor) -> Tensor:
    x, y, z = _compressed_xyz(rgb)
    return torch.stack(((x - y) * 500, (y - z) * 200), dim=1)


def _compressed_xyz(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    linear = _linear(rgb)
    x, y, z = _WHITE_XYZ_FROM_RGB
    return (
        _compressed(_weighted(linear, x)),
        _compressed(_weighted(linear, y)),
        _compressed(_weighted(linear, z)),
    )


def _lightness(rgb: Tensor) -> Tensor:
    y = _compressed(_weighted(_linear(rgb), _WHITE_XYZ_FROM_RGB[1]))
    return (y * 116 - 16).unsqueeze(1)


def _rgb(lab: Tensor) -> Tensor:
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    # scikit-image clips z at 0, as a very blue Lab value would otherwise have negative light.
    white_xyz = _expanded(torch.stack((y + a / 500, y, (y - b / 200).clamp(min=0)), dim=1))
    linear = torch.stack([_weighted(white_xyz, row) for row in _RGB_FROM_WHITE_XYZ], dim=1)
    return _encoded(linear).clamp(0, 1)


def _weighted(channels: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Weighted sum of three channels: (b, 3, p) -> (b, p)."""
    first, second, third = channels.unbind(1)
    total = first * weights[0]
    return total.add_(second, alpha=weights[1]).add_(third, alpha=weights[2])


def _linear(srgb: Tensor) -> Tensor:
    """Light of sRGB values: ((x + 0.055) / 1.055) ** 2.4 above the knee, x / 12.92 below it."""
    curve = srgb.clamp(min=_SRGB_KNEE).add_(0.055).mul_(1 / 1.055).log2_().mul_(2.4).exp2_()
    return curve.add(srgb.clamp(max=_SRGB_KNEE).sub_(_SRGB_KNEE), alpha=1 / 12.92)


def _encoded(linear: Tensor) -> Tensor:
    """Inverse of :func:`_linear`; clamped before the root, whose slope at 0 is infinite."""
    curve = linear.clamp(min=_LINEAR_KNEE).log2_().mul_(1 / 2.4).exp2_().mul(1.055).sub_(0.055)
    return curve.add_(linear.clamp(max=_LINEAR_KNEE).sub_(_LINEAR_KNEE), alpha=12.92)


def _compressed(light: Tensor) -> Tensor:
    """CIE's cube root with a linear toe, relative to white."""
    curve = light.clamp(min=_DELTA**3).log2_().mul_(1 / 3).exp2_()
    return curve.add(light.clamp(max=_DELTA**3).sub_(_DELTA**3), alpha=1 / (3 * _DELTA**2))


def _expanded(compressed: Tensor) -> Tensor:
    """Inverse of :func:`_compressed`."""
    curve = compressed.clamp(min=_DELTA) ** 3
    return curve.add_(compressed.clamp(max=_DELTA).sub_(_DELTA), alpha=3 * _DELTA**2)
