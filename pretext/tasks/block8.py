"""Block 8 of the colorization network: the paper's own colour head (arXiv:1603.08511)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

KERNEL, STRIDE = 4, 2
"""Of the transposed convolution: each output position sees (4 / 2)² input positions."""


class Block8(nn.Module):
    """Doubles the resolution by a 4×4 transposed convolution, then two 3×3 and one 1×1, all with bias.

    ReLU after all but the last, no BatchNorm, as in the release, which has `hidden` = 256. Weights start from
    He's normal distribution by fan-in (arXiv:1502.01852), but for the last layer, which starts near zero.

    Args:
        channels: of the stage's map. hidden: of the maps in between. out: of the result.
    """

    def __init__(self, channels: int, hidden: int, out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, hidden, KERNEL, STRIDE, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=1) for _ in range(2))
        self.out = nn.Conv2d(hidden, out, 1)
        nn.init.normal_(self.up.weight, std=math.sqrt(2 / (channels * (KERNEL / STRIDE) ** 2)))
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.normal_(self.out.weight, std=1e-3)
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (B, channels, h', w') to (B, out, *size), where h' and w' are half of `size`, rounded up."""
        x = self.up(x).relu()[:, :, : size[0], : size[1]]  # one row or column more where the side is odd
        for conv in self.convs:
            x = conv(x).relu()
        # Channels last is what the loss and the decoding over many classes read in order.
        out: Tensor = self.out(x.contiguous(memory_format=torch.channels_last))
        return out
