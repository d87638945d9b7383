"""From a distribution over bins to one colour: the annealed mean (Zhang et al. 2016, arXiv:1603.08511)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pretext.color.gamut import N_BINS, bins
from pretext.color.layout import classes_second

_CHUNK = 512  # positions at a time on a CPU: their exponentials stay in cache


def annealed_mean(logits: Tensor, temperature: float = 0.38) -> Tensor:
    """Mean colour of the distribution sharpened by ``temperature``: softmax(logits / T) over the bins.

    Decode at the network's resolution and upsample the colours, not the 313 maps.

    Args:
        logits: (B, 313, h, w); differentiable.
        temperature: 1 gives the mean, 0 the mode, 0.38 is the paper's; >= 0.

    Returns:
        ab of shape (B, 2, h, w), float32 (float64 for float64).

    Raises:
        ValueError: ``logits`` is no (B, 313, h, w), or ``temperature`` is negative.
    """
    if logits.dim() != 4 or logits.shape[1] != N_BINS:
        raise ValueError(f"logits must be (B, {N_BINS}, h, w); got {tuple(logits.shape)}")
    if temperature < 0:
        raise ValueError(f"temperature must be >= 0; got {temperature}")
    colors = bins(logits.device).to(torch.float64 if logits.dtype == torch.float64 else torch.float32)
    if temperature == 0:
        return colors[logits.argmax(1)].permute(0, 3, 1, 2)
    batch, _, height, width = logits.shape
    by_class = classes_second(logits)  # (N, 313) or (B, 313, h w)
    table = torch.cat(
        (colors.t(), colors.new_ones(1, N_BINS))
    )  # (3, 313): the last row sums the exponentials
    whole = logits.device.type != "cpu" or (logits.requires_grad and torch.is_grad_enabled())
    chunk = max(1, len(by_class) if whole else _CHUNK // by_class.shape[2:].numel())
    # Autocast would round the colours to bfloat16.
    with torch.autocast(logits.device.type, enabled=False):
        ab = torch.cat([_weighted_mean(piece, table, temperature) for piece in torch.split(by_class, chunk)])
    return (
        ab.view(batch, height, width, 2).permute(0, 3, 1, 2)
        if ab.dim() == 2
        else ab.view(batch, 2, height, width)
    )


def _weighted_mean(logits: Tensor, table: Tensor, temperature: float) -> Tensor:
    logits = logits.to(table.dtype)
    # Any constant shift is right; the largest logit is the one that cannot overflow.
    mass = (logits - logits.amax(1, keepdim=True).detach()).mul_(1 / temperature).exp_()
    if logits.dim() == 2:
        sums = F.linear(mass, table)  # (n, 3); five times as fast as mass @ table.t()
        return sums[:, :2] / sums[:, 2:]
    sums = table @ mass  # (b, 3, p)
    return sums[:, :2] / sums[:, 2:]


def upsample_ab(ab: Tensor, size: tuple[int, int], *, offset: float = 0) -> Tensor:
    """Bilinear upsampling of colours to an image's size.

    Colour i is placed at pixel ``offset + i * size / h``: where :func:`~pretext.color.ab_at_stride` took it,
    given the same offset. Beyond the outer samples the nearest one is repeated.

    Args:
        ab: (B, 2, h, w); differentiable.
        size: (H, W) in pixels.
        offset: pixel of the first sample; ``(stride - 1) / 2`` is the usual "half-pixel" bilinear upsampling.

    Returns:
        (B, 2, H, W).
    """
    return _stretched(_stretched(ab, 3, size[1], offset), 2, size[0], offset)


def _stretched(maps: Tensor, dim: int, size: int, offset: float) -> Tensor:
    """Linear interpolation along one dimension."""
    length = maps.shape[dim]
    position = (torch.arange(size, device=maps.device, dtype=torch.float32) - offset) * (length / size)
    position = position.clamp(0, length - 1)
    low = position.long().clamp(max=max(0, length - 2))  # (size,)
    share = (position - low).to(maps.dtype).view(-1, *[1] * (maps.dim() - dim - 1))
    high = (low + 1).clamp(max=length - 1)
    return torch.lerp(maps.index_select(dim, low), maps.index_select(dim, high), share)
