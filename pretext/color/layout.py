"""Views of (B, C, h, w) maps that have the classes in dimension 1 and are read in the order of memory."""

from __future__ import annotations

from torch import Tensor


def classes_second(logits: Tensor) -> Tensor:
    """(N, C) with N = B h w for channels-last (B, C, h, w), else (B, C, h w)."""
    rows = logits.permute(0, 2, 3, 1)
    return rows.reshape(-1, logits.shape[1]) if rows.is_contiguous() else logits.flatten(2)


def layout_of(by_class: Tensor, values: Tensor) -> Tensor:
    """(B, K, h, w) values in the layout of ``by_class``: (N, K) or (B, K, h w)."""
    if by_class.dim() == 2:
        return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])
    return values.flatten(2)
