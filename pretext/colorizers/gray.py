"""The yardstick of no colour at all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pretext.colorizers.contract import Hints
from pretext.colorizers.given import one_by_one


class Gray:
    """Leaves every image gray, as "Gray" of arXiv:1603.08511 does: ab is 0."""

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; reads no hints."""
        images = list(one_by_one("Gray", lightness, hints))
        return torch.zeros(len(images), 2, *lightness.shape[2:], device=lightness.device)
