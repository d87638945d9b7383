"""Images and generators for the tests of views."""

from __future__ import annotations

import torch
from torch import Tensor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 6, height: int = 20, width: int = 20) -> Tensor:
    """Noise, a gray image, black, white and a pure colour among it, and pixels with two equal channels."""
    x = torch.rand(count, 3, height, width, generator=generator(7))
    x[:, 1, 0] = x[:, 0, 0]
    x[:, 2, 1] = x[:, 1, 1]
    x[:, 0, 2] = x[:, 2, 2]
    x[:, :, 3, 0] = 0.0
    x[:, :, 3, 1] = 1.0
    x[:, 1:, 3, 2] = 0.0
    x[:, :, 3, 3] = 0.3
    return x
