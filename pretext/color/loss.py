"""Class-rebalanced cross-entropy over soft colour targets (Zhang et al. 2016, arXiv:1603.08511).

The 313-wide target is never built: only its few bins are read. The gradient, softmax - target, is built in
the forward pass from log-probabilities that are still in cache; one (B, 313, h, w) buffer is all it takes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pretext.color.encode import SoftTargets
from pretext.color.gamut import N_BINS
from pretext.color.layout import classes_second, layout_of

_CHUNK = 1024  # positions at a time on a CPU


class ColorLoss(NamedTuple):
    """Mean cross-entropies over the positions of coloured images, in nats; both carry gradients."""

    balanced: Tensor  # (), each position weighs what its arg-max bin does
    unbalanced: Tensor  # (), each position weighs 1


def soft_cross_entropy(
    logits: Tensor, targets: SoftTargets, bin_weights: Tensor | None = None, has_color: Tensor | None = None
) -> ColorLoss:
    """Cross-entropy of soft targets, rebalanced and plain.

    The original multiplies the gradient by the weight of the arg-max bin and prints the unbalanced loss; a
    weight on the loss, as here, gives the same gradient. Channels-last logits are the fast layout on a CPU.
    Computed in float32 (float64 for float64) whatever autocast says; the gradient comes in the logits' type.

    Args:
        logits: (B, 313, h, w).
        targets: for (B, h, w) positions, from :func:`~pretext.color.soft_encode`.
        bin_weights: (313,), as :meth:`~pretext.color.Prior.weights` gives them; all 1 if left out.
        has_color: (B,), bool; images marked False weigh 0 and are left out of the mean. By default all count.
            Without any coloured image both losses are 0.

    Returns:
        The balanced loss, which is the one to train on, and the unbalanced one.

    Raises:
        ValueError: shapes do not fit.
    """
    _check(logits, targets, bin_weights, has_color)
    batch, _, height, width = logits.shape
    entropy = _SoftCrossEntropy.apply(logits, targets.bins, targets.weights)  # (B, h, w)
    counted = (
        entropy.new_ones(batch, 1, 1) if has_color is None else has_color.to(entropy.dtype).view(-1, 1, 1)
    )
    positions = (counted.sum() * (height * width)).clamp(min=1)
    unbalanced = (entropy * counted).sum() / positions
    if bin_weights is None:
        return ColorLoss(unbalanced, unbalanced)
    weight = bin_weights.detach().to(entropy.dtype)[targets.bins[:, 0]] * counted
    return ColorLoss((entropy * weight).sum() / positions, unbalanced)


def _check(
    logits: Tensor, targets: SoftTargets, bin_weights: Tensor | None, has_color: Tensor | None
) -> None:
    if logits.dim() != 4 or logits.shape[1] != N_BINS:
        raise ValueError(f"logits must be (B, {N_BINS}, h, w); got {tuple(logits.shape)}")
    batch, _, height, width = logits.shape
    for name, value in targets._asdict().items():
        if value.dim() != 4 or (value.shape[0], *value.shape[2:]) != (batch, height, width):
            raise ValueError(
                f"targets.{name} must be ({batch}, K, {height}, {width}); got {tuple(value.shape)}"
            )
    if bin_weights is not None and bin_weights.shape != (N_BINS,):
        raise ValueError(f"bin_weights must be ({N_BINS},); got {tuple(bin_weights.shape)}")
    if has_color is not None and has_color.shape != (batch,):
        raise ValueError(f"has_color must be ({batch},); got {tuple(has_color.shape)}")


class _SoftCrossEntropy(torch.autograd.Function):
    """Cross-entropy at each position: (B, 313, h, w) and K targets -> (B, h, w)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        entropy, ctx.gradient = _entropy_and_gradient(logits, index, weight, ctx.needs_input_grad[0])
        ctx.save_for_backward(logits, index, weight)
        ctx.layout = (logits.shape, logits.dtype)
        return entropy.view(len(logits), *logits.shape[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_entropy: Tensor) -> tuple[Tensor | None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        # Scaled in place, since a second buffer costs as much as the arithmetic; a repeated backward through
        # a retained graph finds it used and builds it again.
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            logits, index, weight = ctx.saved_tensors
            gradient = _entropy_and_gradient(logits, index, weight, with_gradient=True)[1]
            assert gradient is not None
        (batch, classes, height, width), dtype = ctx.layout
        if gradient.dim() == 2:
            gradient *= grad_entropy.reshape(-1, 1)  # (N, 313)
            gradient = gradient.view(batch, height, width, classes).permute(0, 3, 1, 2)
        else:
            gradient *= grad_entropy.reshape(batch, 1, -1)  # (B, 313, h w)
            gradient = gradient.view(batch, classes, height, width)
        return gradient.to(dtype), None, None


def _entropy_and_gradient(
    logits: Tensor, index: Tensor, weight: Tensor, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Cross-entropies and softmax - target, in a layout with the classes in dimension 1 (or without them)."""
    by_class = classes_second(logits)  # (N, 313) or (B, 313, h w)
    index, weight = layout_of(by_class, index), layout_of(by_class, weight)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    entropy = by_class.new_empty(by_class.shape[:1] + by_class.shape[2:], dtype=dtype)
    gradient = torch.empty_like(by_class, dtype=dtype) if with_gradient else None
    chunk = max(1, _CHUNK // by_class.shape[2:].numel()) if logits.device.type == "cpu" else len(by_class)
    for start in range(0, len(by_class), chunk):
        part = slice(start, start + chunk)
        log_probability = by_class[part].log_softmax(1, dtype=dtype)
        share = weight[part].to(dtype)
        entropy[part] = -(log_probability.gather(1, index[part]) * share).sum(1)
        if gradient is not None:
            torch.exp(log_probability, out=gradient[part]).scatter_add_(1, index[part], -share)
    return entropy, gradient
