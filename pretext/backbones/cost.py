"""What a network costs: multiply-adds of one image, and parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def macs(module: nn.Module, size: int | tuple[int, int], channels: int = 3) -> int:
    """Multiply-adds of convolutions and matrix products for one (channels, H, W) image.

    Args:
        module: run once in eval mode and without gradient; left as it was.
        size: H = W, or (H, W).
        channels: of the image: 3 for an encoder, `in_channels` for a backbone.
    """
    height, width = (size, size) if isinstance(size, int) else size
    parameter = next(module.parameters(), None)
    image = torch.zeros(1, channels, height, width, device=None if parameter is None else parameter.device)
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(image)
    finally:
        for m, training in modes:
            m.training = training
    # The counter reports two operations for each multiply-add.
    return int(counter.get_total_flops()) // 2


def parameter_count(module: nn.Module) -> int:
    """Number of parameters, trainable or not."""
    return sum(p.numel() for p in module.parameters())
