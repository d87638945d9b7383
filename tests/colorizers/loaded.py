"""Pictures that a test draws, as a system's training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader


def loader(rgb: Sequence[Tensor]) -> EpochLoader:
    """Pictures (3, H, W) in [0, 1] of one size, rounded to 8 bits, in their order."""
    pixels = (torch.stack(list(rgb)).permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return EpochLoader(Split("train", pixels, "drawn"), 4, shuffle=False, drop_last=False)
