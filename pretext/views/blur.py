"""Gaussian blur of a width of its own for each image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pretext.views.resample import separable
from pretext.views.some import beside, change_some


def gaussian_blur(pixels: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blur image b by a Gaussian of standard deviation sigma[b], cut off at the kernel's edge.

    Beyond its border an image is continued in its mirror image. The same numbers as torchvision's.

    Args:
        pixels: (B, C, H, W).
        sigma: (B,) positive, in pixels.
        kernel_size: of the Gaussian, an odd number of pixels.

    Raises:
        ValueError: an even kernel, or one that reaches beyond the mirror image; a sigma that is not positive.
    """
    height, width = pixels.shape[-2:]
    check_kernel("gaussian_blur", kernel_size)
    if kernel_size // 2 >= min(height, width):
        raise ValueError(f"a kernel of {kernel_size} pixels is too wide for images of {height}×{width}")
    if not bool((sigma > 0).all()):
        raise ValueError(f"gaussian_blur takes positive standard deviations, got {float(sigma.min())}")
    taps = torch.arange(kernel_size, device=pixels.device) - kernel_size // 2
    weights = torch.softmax(-0.5 * (taps / beside(sigma, pixels)[:, None]).square(), dim=1)  # (B, K)
    weights = weights.to(pixels.dtype)
    with torch.autocast(pixels.device.type, enabled=False):
        return separable(pixels, _mixing(weights, height), _mixing(weights, width))


def random_blur(
    pixels: Tensor,
    generator: torch.Generator,
    kernel_size: int,
    sigma: tuple[float, float] = (0.1, 2.0),
    p: float = 0.5,
) -> Tensor:
    """Blur each image with probability `p` by a standard deviation uniform in `sigma`, in pixels."""
    draw = torch.rand(2, len(pixels), generator=generator)
    widths = sigma[0] + draw[0] * (sigma[1] - sigma[0])
    return change_some(
        pixels, draw[1] < p, lambda images, which: gaussian_blur(images, widths[which], kernel_size)
    )


def check_kernel(owner: str, kernel_size: int) -> None:
    """Refuse a kernel without a central pixel.

    Raises:
        ValueError: an even size, or one below 1.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"{owner} takes a kernel of an odd number of pixels, got {kernel_size}")


def _mixing(weights: Tensor, extent: int) -> Tensor:
    """Rows (B, E, E) that convolve a line of `extent` pixels with weights (B, K), the border mirrored."""
    reach = weights.shape[1] // 2
    source = torch.arange(extent)[:, None] + torch.arange(-reach, reach + 1)  # (E, K)
    source = (extent - 1) - (extent - 1 - source.abs()).abs()
    moves = functional.one_hot(source, extent).to(weights.device, weights.dtype)  # (E, K, E)
    return torch.einsum("bk,eks->bes", weights, moves)
