"""Random: no training at all, the twin that every trained encoder is read against."""

from __future__ import annotations

from typing import Any

import torch

from pretext.encoder import Encoder
from pretext.task import Images, Step, Task


class Random(Task):
    """Keeps the encoder's initial weights: a task of zero images and zero steps.

    Its BatchNorm statistics are estimated, label-free, on pretraining images, as for every run of no steps:
    untrained statistics would make it weak for the wrong reason.
    """

    untrained = True

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def views(self, images: Images, generator: torch.Generator) -> Images:
        """Return the images as they are."""
        return images

    def loss(self, batch: Any) -> Step:
        """Raise RuntimeError: there is nothing to minimise."""
        raise RuntimeError("Random has no loss: its budget is zero steps")

    def param_groups(self) -> list[dict[str, Any]]:
        """Return no group: nothing moves."""
        return []
